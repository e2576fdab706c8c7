import json
from collections import Counter
from pathlib import Path

import pytest

from afterbase.core.sample import Status
from afterbase.data.domains.chat_drafts import REVIEWED, REVIEWED_COUNT, REVIEWED_SEED, drafts, make_reviewed_set
from afterbase.verify.rubric import check_rubric


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def shipped() -> list[dict]:
    return read(REVIEWED)


def test_more_drafts_begin_with_the_fewer():
    assert drafts(5, seed=3) == drafts(20, seed=3)[:5]
    assert drafts(5, seed=3) != drafts(5, seed=4)


def test_the_shipped_drafts_are_what_the_generator_writes(shipped: list[dict], tmp_path: Path):
    make_reviewed_set(tmp_path / "made.jsonl", REVIEWED_SEED)
    made = read(tmp_path / "made.jsonl")
    drafted = [(row["prompt"], row["spec"], row["response"]) for row in made]
    assert [(row["prompt"], row["spec"], row["response"]) for row in shipped] == drafted
    # A reader corrected the rubric's proposals; had nobody, the two would agree.
    assert 20 < sum(a["decision"] != b["decision"] for a, b in zip(shipped, made, strict=True)) < 100


def test_what_the_shipped_set_lets_through_meets_the_rubric(shipped: list[dict]):
    for row in shipped:
        if row["decision"] != "reject":
            text = row["edited_response"] or row["response"]
            assert check_rubric(response=text, spec=row["spec"]).status is Status.OK, row


def test_decision_reason_and_edited_text_agree(shipped: list[dict]):
    for row in shipped:
        assert (row["decision"] == "accept") == (row["reason"] == "good")
        assert (row["decision"] == "edit") == (row["edited_response"] is not None)
        assert row["edited_response"] != row["response"]


def test_the_notes_state_the_counts(shipped: list[dict]):
    notes = REVIEWED.with_suffix(".md").read_text(encoding="utf-8")
    assert len(shipped) == REVIEWED_COUNT == 300
    for (decision, reason), count in Counter((row["decision"], row["reason"]) for row in shipped).items():
        assert f"| {decision} | {reason} | {count} |" in notes
