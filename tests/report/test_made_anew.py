"""A change of settings is told with what it makes anew, and why."""

from pathlib import Path
from typing import Any

from afterbase.core.longer_run import Growth
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.report.made_anew import made_anew

TRAINED = {"steps": 40, "optimisation": {"learning_rate": 0.1}, "seed": 0}


def _stage(store: Store, name: str, version: int = 1, *, inputs: dict[str, Artifact] | None = None, **what: Any):
    make = lambda work: (work.payload / "made").write_text(repr(what))  # noqa: E731
    return store.produce(name, "grpo", version, what=what, inputs=inputs or {}, make=make)


def _told(root: Path, *stages: dict[str, Any]) -> list[str]:
    planned = Store(root, plan_only=True)
    for stage in stages:
        _stage(planned, **stage)
    return made_anew(planned, planned.stages)


def test_other_steps_are_told_with_the_schedule_that_spans_them(tmp_path):
    _stage(Store(tmp_path), "GRPO", **TRAINED)
    assert _told(tmp_path, {"name": "GRPO", **TRAINED, "steps": 60}) == [
        "GRPO: steps 40 -> 60: made anew, as the cosine schedule spans all steps."
    ]
    constant = {"optimisation": {"learning_rate": 0.1, "schedule": "constant"}, "seed": 0}
    _stage(Store(tmp_path), "GRPO", **constant, steps=40)
    assert _told(tmp_path, {"name": "GRPO", **constant, "steps": 60}) == [
        "GRPO: steps 40 -> 60: made anew, as these settings change the result."
    ]


def test_a_run_that_goes_on_is_told_with_its_step_and_one_that_does_not_with_the_reason(tmp_path):
    growth = Growth("steps", lambda: "cpu")

    def stage(steps: int, *, plan_only: bool = False, threads: int = 1) -> list[str]:
        def make(work: Workspace) -> None:
            (work.scratch / "step-00000040").mkdir()
            work.state = ["step-00000040"]

        store = Store(tmp_path, plan_only=plan_only, threads=threads)
        what = {"steps": steps, "optimisation": {"learning_rate": 0.1, "schedule": "constant"}}
        store.growing(growth).produce("GRPO", "grpo", 1, what=what, inputs={}, make=make)
        return made_anew(store, store.stages)

    stage(40)
    [key] = Store(tmp_path).keys()
    assert stage(60, plan_only=True) == [f"GRPO: steps 40 -> 60: goes on from step 40 of {key[:12]}."]
    assert stage(60, plan_only=True, threads=2) == [
        f"GRPO: steps 40 -> 60: made anew, as {key[:12]} was made in another environment: threads 1 -> 2."
    ]
    assert stage(20, plan_only=True) == ["GRPO: steps 40 -> 20: made anew, as these settings change the result."]


def test_nested_new_and_removed_settings_are_named(tmp_path):
    _stage(Store(tmp_path), "GRPO", **TRAINED, rewards=None, old=True)
    changed = {**TRAINED, "optimisation": {"learning_rate": 0.2}, "rewards": {"floor": 0.5}}
    assert _told(tmp_path, {"name": "GRPO", **changed}) == [
        "GRPO: optimisation.learning_rate 0.1 -> 0.2, rewards.floor none -> 0.5, old true -> none: made anew, as these "
        "settings change the result."
    ]


def test_the_nearest_of_several_is_compared(tmp_path):
    store = Store(tmp_path)
    _stage(store, "GRPO", **{**TRAINED, "seed": 5})
    _stage(store, "GRPO", **TRAINED)
    _stage(store, "GRPO", **{**TRAINED, "seed": 7})
    [told] = _told(tmp_path, {"name": "GRPO", **TRAINED, "steps": 60})
    assert told.startswith("GRPO: steps 40 -> 60: ")


def test_cached_stages_other_names_and_other_inputs_are_not_told(tmp_path):
    store = Store(tmp_path)
    sft = _stage(store, "SFT", **TRAINED)
    _stage(store, "GRPO", **TRAINED, inputs={"model": sft})
    assert _told(tmp_path, {"name": "SFT", **TRAINED}, {"name": "DPO", **TRAINED}, {"name": "GRPO", **TRAINED}) == []
    planned = Store(tmp_path, plan_only=True)
    moved = _stage(planned, "SFT", **{**TRAINED, "seed": 1})
    _stage(planned, "GRPO", **{**TRAINED, "seed": 1}, inputs={"model": moved})
    assert [told.split(":")[0] for told in made_anew(planned, planned.stages)] == ["SFT"]  # the rest follows from it


def test_a_new_version_is_told_as_one(tmp_path):
    _stage(Store(tmp_path), "GRPO", **TRAINED)
    assert _told(tmp_path, {"name": "GRPO", "version": 2, **TRAINED}) == [
        "GRPO: made anew, as the program of this stage has changed since."
    ]
