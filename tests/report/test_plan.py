"""A plan: one line a stage, and minutes that earlier stages of the same kind correct."""

import dataclasses
import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from afterbase.core.store import Artifact, Cost, StageRecord, Store
from afterbase.report.machine_rate import Rates
from afterbase.report.plan import StageSeconds, plan_table, planned_stages, total

RATES = Rates(trained=5000, generated=6000, source="as a test says")


def _record(name: str, *inputs: StageRecord, stage: str = "sft", cached: bool = False, **cost: int) -> StageRecord:
    artifact = Artifact(key=name, digest="", name=name, folder=Path(), manifest={}, planned=not cached)
    return StageRecord(name, stage, artifact, cached, 0.0, tuple(r.artifact for r in inputs), Cost(**cost))


def _finished(store: Path, *, stage: str, seconds: float, made_from: str = "", **cost: int) -> str:
    folder = store / f"{len(list(store.iterdir())):064}"
    folder.mkdir()
    inputs = {"model": {"key": made_from}} if made_from else {}
    manifest = {"key": folder.name, "stage": stage, "inputs": inputs, "seconds": seconds, "cost": vars(Cost(**cost))}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder.name


def _seconds(store: Path, *records: StageRecord) -> StageSeconds:
    return StageSeconds(Store(store, plan_only=True, stages=list(records)), RATES)


def _lines(records: list[StageRecord], store: Path, *, width: int = 80) -> list[str]:
    out = StringIO()
    Console(file=out, width=width).print(plan_table(records, _seconds(store, *records)))
    return [line.strip() for line in out.getvalue().splitlines()[1:]]


def test_one_line_a_stage_with_its_inputs_by_number(tmp_path):
    base = _record("base model", cached=True)
    data = _record("SFT set [seed 0]")  # no markup, for all its brackets
    sft = _record("SFT", base, data, trained=1_500_000)
    grpo = _record("GRPO", sft, stage="grpo", trained=6_000, generated=655_360)
    assert [line.split("  ") for line in _lines([base, data, sft, grpo], tmp_path)] == [
        line.split("  ")
        for line in (
            "1                       cached  base model",
            "2                          0.0  SFT set [seed 0]",
            "3     1.5M                ~5.0  SFT <- 1, 2",
            "4     6.0k       655k     ~1.8  GRPO <- 3",
        )
    ]


def test_requests_to_endpoints_have_a_column_where_there_are_some(tmp_path):
    drafts = _record("drafts", stage="draft", requests=3_000, answer_tokens=600_000)
    assert _lines([drafts, _record("SFT", drafts, trained=300_000)], tmp_path) == [
        "1                          3.0k    ~10.0  drafts",
        "2     300k                          ~1.0  SFT <- 1",
    ]


def test_drafts_that_cost_nothing_say_nothing_of_those_that_are_asked_for(tmp_path):
    _finished(tmp_path, stage="draft", seconds=1.0)
    _finished(tmp_path, stage="draft", seconds=4_000.0, answer_tokens=1_000_000)
    seconds = _seconds(tmp_path)
    assert seconds.of(_record("asked", stage="draft", answer_tokens=500_000))[0] == pytest.approx(2_000.0)
    assert seconds.of(_record("by rule", stage="draft"))[0] == pytest.approx(1.0)


def test_lines_of_a_recipe_fit_a_pipe(tmp_path):
    longest = _record("evaluate original only on arithmetic", stage="evaluate", generated=138_240)
    assert len(_lines([longest], tmp_path)) == 1


def test_stage_that_two_seeds_share_is_made_once(tmp_path):
    records = [_record("drafts", trained=300_000), _record("drafts", trained=300_000)]
    assert [line.split()[2] for line in _lines(records, tmp_path)] == ["~1.0", "as"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(999, "999"), (1000, "1.0k"), (9_949, "9.9k"), (655_360, "655k"), (1_000_000, "1.0M"), (123_456_789, "123M")],
)
def test_numbers_are_short(tmp_path, count, shown):
    assert _lines([_record("SFT", trained=count)], tmp_path)[0].split()[1] == shown


def test_minutes_follow_what_stages_of_the_kind_took_here(tmp_path):
    planned = _record("SFT", trained=1_000_000)
    assert _seconds(tmp_path).of(planned)[0] == pytest.approx(200)
    _finished(tmp_path, stage="sft", seconds=100, trained=1_000_000)
    _finished(tmp_path, stage="sft", seconds=200, trained=2_000_000)
    _finished(tmp_path, stage="grpo", seconds=9_999, trained=1_000_000)
    assert _seconds(tmp_path).of(planned)[0] == pytest.approx(100)


def test_much_smaller_stage_says_nothing_of_a_rate(tmp_path):
    _finished(tmp_path, stage="sft", seconds=60, trained=1_000)  # nearly all of it the time to start
    assert _seconds(tmp_path).of(_record("SFT", trained=1_000_000))[0] == pytest.approx(200)


def test_stage_without_a_cost_takes_what_others_of_its_kind_took(tmp_path):
    assert _seconds(tmp_path).of(_record("problems", stage="problems"))[0] == 0
    _finished(tmp_path, stage="problems", seconds=2)
    _finished(tmp_path, stage="problems", seconds=4)
    assert _seconds(tmp_path).of(_record("problems", stage="problems"))[0] == pytest.approx(3)


def test_what_is_measured_and_what_is_estimated_is_told_apart(tmp_path):
    _finished(tmp_path, stage="sft", seconds=120, trained=1_000_000)
    records = [_record("SFT", trained=1_000_000), _record("GRPO", stage="grpo", generated=3_600_000)]
    assert [line.split()[2] for line in _lines(records, tmp_path)] == ["2.0", "~10.0"]
    store = Store(tmp_path, plan_only=True, stages=records)
    assert total(store, StageSeconds(store, RATES), RATES) == [
        "2 stages, 0 cached; about 12 minutes to run.",
        "Minutes without ~ are measured on this machine: by earlier stages of this store.",
        "Minutes with ~ are estimated: as a test says.",
    ]


def test_where_all_is_cached_nothing_is_to_run(tmp_path):
    base = StageRecord("base model", "base", Artifact("key", "", "", Path(), {}), True, 1.0, (), Cost())
    store = Store(tmp_path, plan_only=True, stages=[base, base])
    assert total(store, StageSeconds(store, RATES), RATES) == ["all 2 stages are cached: nothing to run."]


def test_a_stage_of_another_model_says_nothing_of_this_one(tmp_path):
    one, other = (_finished(tmp_path, stage="base", seconds=1) for _ in range(2))
    _finished(tmp_path, stage="sft", seconds=1000, made_from=one, trained=1_000_000)
    bases = {key: StageRecord("base model", "base", Artifact(key, "", "", Path(), {}), True, 1.0, (), Cost())
             for key in (one, other)}  # fmt: skip
    for key, expected in ((one, (1000.0, True)), (other, (200.0, False))):
        sft = _record("SFT", bases[key], trained=1_000_000)
        assert _seconds(tmp_path, bases[key], sft).of(sft) == pytest.approx(expected)


def test_stages_that_two_seeds_share_are_counted_once(tmp_path):
    records = [_record("SFT", trained=3_000_000), _record("SFT", trained=3_000_000)]
    store = Store(tmp_path, plan_only=True, stages=records)
    assert total(store, StageSeconds(store, RATES), RATES)[0] == "2 stages, 0 cached; about 10 minutes to run."


def test_the_screen_is_told_of_each_stage_once_with_its_branch_and_seconds(tmp_path):
    _finished(tmp_path, stage="sft", seconds=100.0, trained=1_000_000)
    sft = dataclasses.replace(_record("SFT", trained=500_000), branch=("tuning",))
    grpo = _record("GRPO", sft, stage="grpo", generated=6_000)
    again = dataclasses.replace(sft, branch=("elsewhere",))
    store = Store(tmp_path, plan_only=True, stages=[_record("base", cached=True), sft, grpo, again])
    base, tuned, reinforced = planned_stages(store, {"GRPO"})
    assert (base.name, base.cached) == ("base", True)
    assert (tuned.branch, tuned.seconds, tuned.measured, tuned.beside) == (("tuning",), 50.0, True, False)
    assert (reinforced.kind, reinforced.measured, reinforced.beside) == ("grpo", False, True)
    assert reinforced.seconds > 0


def test_where_all_is_cached_nothing_is_estimated(tmp_path):
    store = Store(tmp_path, plan_only=True, stages=[_record(name, cached=True, trained=9_000) for name in "ab"])
    assert [(stage.name, stage.cached, stage.seconds) for stage in planned_stages(store, ())] == [
        ("a", True, 0.0),
        ("b", True, 0.0),
    ]
