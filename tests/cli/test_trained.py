"""What a training gives back to Python."""

from pathlib import Path
from typing import Any, cast

from afterbase.cli.run_ending import Finished
from afterbase.cli.trained import Trained
from afterbase.core.store import Store
from afterbase.report.summary import Summary

REPORT, MODEL = Path("runs/out/report.html"), Path("out")


def test_it_is_what_the_last_stage_measured(tmp_path):
    def make(work):
        for step, numbers in enumerate(({"loss": 2.0}, {"reward": 0.5}, {"loss": 1.0}), start=1):
            work.log(step, 3, **numbers)

    final = Store(tmp_path).produce("SFT", "sft", 1, what={}, inputs={}, make=make)
    trained = Trained.of(Finished(cast(Summary, {}), final, MODEL), REPORT, MODEL)
    assert (trained.steps, trained.first_loss, trained.last_loss) == (3, 2.0, 1.0)
    assert trained.seconds == final.manifest["seconds"]
    assert trained.summary() == {
        "model": "out", "steps": 3, "first_loss": 2.0, "last_loss": 1.0, "seconds": round(trained.seconds, 2),
    }  # fmt: skip


def test_a_rank_beside_the_first_knows_where_the_model_is_and_no_numbers():
    trained = Trained.of(None, REPORT, MODEL)
    told: dict[str, Any] = {"model": "out", "steps": 0, "first_loss": None, "last_loss": None, "seconds": 0.0}
    assert trained.summary() == told
