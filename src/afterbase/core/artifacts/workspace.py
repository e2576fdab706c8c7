"""Where a running stage writes, and how it tells of its progress."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from afterbase.core.artifacts.atomic_writes import write_atomically
from afterbase.core.longer_run import begun_with
from afterbase.core.progress import StageLine


@dataclass
class Workspace:
    """Where a running stage writes: `payload`, `scratch` for its own checkpoints, and its metrics.

    `checkpoints` holds model folders that stay beside the payload; `board` is TensorBoard's folder of this stage. Of
    several ranks only the first one's payload and metrics are kept; `scratch` is shared. With `keeps_state` the stage
    writes its last state into `scratch`, and names in `state` the folders there that a longer run needs, the last at
    the end; none if a longer run would have gone another way.
    """

    payload: Path
    scratch: Path
    checkpoints: Path
    board: Path
    _metrics: Path
    _line: StageLine
    keeps_state: bool = False
    state: Sequence[str] = ()

    def log(self, step: int, total: int, shown: Sequence[str] | None = None, /, **numbers: float | str) -> None:
        """Record one step's numbers (1-based step) and show them, but for the parts of a whole (`whole/part`).

        Where `shown` is given, it names what is shown, in its order.
        """
        with self._metrics.open("a") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")
        wanted = [key for key in numbers if "/" not in key] if shown is None else shown
        self._line.update(step, total, **{key: numbers[key] for key in wanted if key in numbers})

    def show(self, step: int, total: int, **numbers: float | str) -> None:
        """Show progress without recording it."""
        self._line.update(step, total, **numbers)

    def rewind(self, step: int) -> None:
        """Forget metrics after `step`, which a resumed stage writes again, and say where it goes on."""
        if step:
            shorter = begun_with(self._metrics.parent)
            of = f" of {shorter['key'][:12]}" if shorter is not None and shorter["step"] == step else ""
            self._line.say(f"goes on from step {step}{of}")
        if not self._metrics.is_file():
            return
        rows = [line for line in self._metrics.read_text().splitlines() if _complete(line)]
        kept = [row for row in rows if json.loads(row)["step"] <= step]
        write_atomically(self._metrics, "".join(row + "\n" for row in kept).encode())


def _complete(line: str) -> bool:
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    return True
