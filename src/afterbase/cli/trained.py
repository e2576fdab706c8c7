"""What a single training gives back: where its model is, what was measured, how long it took."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterbase.cli.run_ending import Finished


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    model: Path
    """A folder that transformers, vLLM and afterbase load."""
    metrics: list[dict[str, Any]]
    """What was measured at each step, in order."""
    seconds: float
    """What the training took, when it was made."""
    report: Path
    """One HTML file."""

    @classmethod
    def of(cls, finished: Finished | None, report: Path, model: Path) -> "Trained":
        """What a run left; without numbers on a rank beside the first one, which has no `finished`."""
        if finished is None:
            return cls(model, [], 0.0, report)
        return cls(model, finished.final.metrics(), finished.final.manifest["seconds"], report)

    @property
    def steps(self) -> int:
        """Steps that were trained."""
        return len(self.metrics)

    @property
    def first_loss(self) -> float | None:
        """The loss of the first step."""
        return self._losses[0] if self._losses else None

    @property
    def last_loss(self) -> float | None:
        """The loss of the last step."""
        return self._losses[-1] if self._losses else None

    @property
    def _losses(self) -> list[float]:
        return [row["loss"] for row in self.metrics if "loss" in row]

    def summary(self) -> dict[str, Any]:
        """What `--json` prints: model, steps, first_loss, last_loss, seconds."""
        return {
            "model": str(self.model),
            "steps": self.steps,
            "first_loss": self.first_loss,
            "last_loss": self.last_loss,
            "seconds": round(self.seconds, 2),
        }
