"""A plan: one line a stage, and minutes that earlier stages of the same kind correct."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from afterbase.core.store import Artifact, Cost, StageRecord
from afterbase.report.plan import MeasuredCosts, plan_table


def _record(name: str, *inputs: StageRecord, stage: str = "sft", cached: bool = False, **cost: int) -> StageRecord:
    artifact = Artifact(key=name, digest="", name=name, folder=Path(), manifest={}, planned=not cached)
    return StageRecord(name, stage, artifact, cached, 0.0, tuple(r.artifact for r in inputs), Cost(**cost))


def _finished(store: Path, *, stage: str, seconds: float, **cost: int) -> None:
    folder = store / f"{len(list(store.iterdir())):064}"
    folder.mkdir()
    manifest = {"stage": stage, "seconds": seconds, "cost": vars(Cost(**cost))}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _lines(records: list[StageRecord], store: Path, *, width: int = 80) -> list[str]:
    out = StringIO()
    Console(file=out, width=width).print(plan_table(records, MeasuredCosts(store)))
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
            "3     1.5M                 5.0  SFT <- 1, 2",
            "4     6.0k       655k      1.8  GRPO <- 3",
        )
    ]


def test_requests_to_endpoints_have_a_column_where_there_are_some(tmp_path):
    drafts = _record("drafts", stage="draft", requests=3_000, answer_tokens=600_000)
    assert _lines([drafts, _record("SFT", drafts, trained=300_000)], tmp_path) == [
        "1                          3.0k     10.0  drafts",
        "2     300k                           1.0  SFT <- 1",
    ]


def test_drafts_that_cost_nothing_say_nothing_of_those_that_are_asked_for(tmp_path):
    _finished(tmp_path, stage="draft", seconds=1.0)
    _finished(tmp_path, stage="draft", seconds=4_000.0, answer_tokens=1_000_000)
    costs = MeasuredCosts(tmp_path)
    assert costs.seconds(_record("asked", stage="draft", answer_tokens=500_000)) == pytest.approx(2_000.0)
    assert costs.seconds(_record("by rule", stage="draft")) == pytest.approx(1.0)


def test_lines_of_a_recipe_fit_a_pipe(tmp_path):
    longest = _record("evaluate original only on arithmetic", stage="evaluate", generated=138_240)
    assert len(_lines([longest], tmp_path)) == 1


def test_stage_that_two_seeds_share_is_made_once(tmp_path):
    records = [_record("drafts", trained=300_000), _record("drafts", trained=300_000)]
    assert [line.split()[2] for line in _lines(records, tmp_path)] == ["1.0", "as"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(999, "999"), (1000, "1.0k"), (9_949, "9.9k"), (655_360, "655k"), (1_000_000, "1.0M"), (123_456_789, "123M")],
)
def test_numbers_are_short(tmp_path, count, shown):
    assert _lines([_record("SFT", trained=count)], tmp_path)[0].split()[1] == shown


def test_minutes_follow_what_stages_of_the_kind_took_here(tmp_path):
    planned = _record("SFT", trained=1_000_000)
    assert MeasuredCosts(tmp_path).seconds(planned) == pytest.approx(200)
    _finished(tmp_path, stage="sft", seconds=100, trained=1_000_000)
    _finished(tmp_path, stage="sft", seconds=200, trained=2_000_000)
    _finished(tmp_path, stage="grpo", seconds=9_999, trained=1_000_000)
    assert MeasuredCosts(tmp_path).seconds(planned) == pytest.approx(100)


def test_much_smaller_stage_says_nothing_of_a_rate(tmp_path):
    _finished(tmp_path, stage="sft", seconds=60, trained=1_000)  # nearly all of it the time to start
    assert MeasuredCosts(tmp_path).seconds(_record("SFT", trained=1_000_000)) == pytest.approx(200)


def test_stage_without_a_cost_takes_what_others_of_its_kind_took(tmp_path):
    assert MeasuredCosts(tmp_path).seconds(_record("problems", stage="problems")) == 0
    _finished(tmp_path, stage="problems", seconds=2)
    _finished(tmp_path, stage="problems", seconds=4)
    assert MeasuredCosts(tmp_path).seconds(_record("problems", stage="problems")) == pytest.approx(3)
