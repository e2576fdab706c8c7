import json
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Drop, Sample, Status, Verdict, conversation
from afterbase.data.domains.chat_drafts import REVIEWED, REVIEWED_COUNT, REVIEWED_SEED, drafts
from afterbase.data.review.recorded_decisions import Decision, Outcome, apply_decisions, draft_key, recorded_decisions

RUBRIC = Verdict(verifier="rubric", status=Status.OK, value=1.0, reason="met")


def draft(response: str, *, prompt: str = "Say hello.", system: str | None = None) -> Sample:
    return Sample(
        messages=conversation(prompt, response, system=system),
        domain="chat",
        kind="open",
        problem_id="p",
        producer={"name": "generator"},
        verdicts=[RUBRIC],
    )


def decided(sample_text: str, outcome: Outcome, reason: str, edited: str | None = None) -> dict[str, Decision]:
    key = draft_key(prompt="Say hello.", response=sample_text)
    return {key: Decision(outcome=outcome, reviewer="ada", reason=reason, edited_response=edited)}


def row(**changes: Any) -> dict[str, Any]:
    fields = ("prompt", "response", "reviewer", "decision", "reason", "edited_response")
    return {**dict(zip(fields, ("Say hello.", "Hello.", "ada", "accept", "good", None), strict=True)), **changes}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def test_an_accepted_draft_is_kept_with_the_reviewers_verdict():
    [kept] = apply_decisions([draft("Hello.")], decided("Hello.", Outcome.ACCEPT, "good"))
    assert kept.dropped is None
    assert list(kept.verdicts) == [RUBRIC, Verdict(verifier="review:ada", status=Status.OK, value=1.0, reason="good")]
    assert kept.id == draft("Hello.").id


def test_a_rejected_draft_is_dropped_under_its_reason():
    [dropped] = apply_decisions([draft("Bread.")], decided("Bread.", Outcome.REJECT, "off_topic"))
    assert dropped.dropped == Drop(stage="review", rule="off_topic")
    assert dropped.verdicts[-1] == Verdict(verifier="review:ada", status=Status.WRONG, value=0.0, reason="off_topic")


def test_an_edited_draft_becomes_a_sample_of_its_own_with_the_draft_as_parent():
    before = draft("Helo.", system="Be kind.")
    [after] = apply_decisions([before], decided("Helo.", Outcome.EDIT, "slip", "Hello."))
    assert after.response == "Hello."
    assert list(after.messages[:-1]) == list(before.messages[:-1])
    assert list(after.parents) == [before.id]
    assert after.id != before.id
    assert after.producer == {"name": "generator", "edited_by": "ada"}
    # The rubric judged the draft, not this text.
    assert [verdict.verifier for verdict in after.verdicts] == ["review:ada"]
    assert before.response == "Helo."


def test_a_draft_that_nobody_reviewed_is_dropped():
    [other] = apply_decisions([draft("Hello!")], decided("Hello.", Outcome.ACCEPT, "good"))
    assert other.dropped == Drop(stage="review", rule="not_reviewed")


def test_a_decision_on_the_same_text_under_another_prompt_does_not_count():
    [other] = apply_decisions([draft("Hello.", prompt="Greet us.")], decided("Hello.", Outcome.ACCEPT, "good"))
    assert other.dropped == Drop(stage="review", rule="not_reviewed")


def test_an_earlier_drop_stands():
    earlier = draft("Hello.").drop("clean", "duplicate")
    assert apply_decisions([earlier], decided("Hello.", Outcome.EDIT, "slip", "Hi.")) == [earlier]


def test_decisions_are_read_by_prompt_and_response(tmp_path: Path):
    edit = row(response="Helo.", decision="edit", reason="slip", edited_response="Hello.")
    decisions = recorded_decisions(write(tmp_path / "d.jsonl", row(), edit))
    assert decisions == decided("Hello.", Outcome.ACCEPT, "good") | decided("Helo.", Outcome.EDIT, "slip", "Hello.")


@pytest.mark.parametrize(
    "bad",
    [
        row(decision="maybe"),
        row(decision="edit"),
        row(edited_response="Hi."),
        {"prompt": "Say hello."},
        ["accept"],
    ],
)
def test_a_line_that_is_no_decision_is_refused_with_its_place(bad: Any, tmp_path: Path):
    with pytest.raises(UserError) as refused:
        recorded_decisions(write(tmp_path / "d.jsonl", row(response="Hi."), bad))
    assert f"line 2 of {tmp_path / 'd.jsonl'}" in refused.value.got


def test_two_decisions_on_one_draft_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="one recorded decision"):
        recorded_decisions(write(tmp_path / "d.jsonl", row(), row(decision="reject", reason="off_topic")))


def test_the_shipped_set_decides_every_one_of_its_drafts():
    decisions = recorded_decisions(REVIEWED)
    samples = [
        draft(response, prompt=problem.prompt) for problem, response in drafts(REVIEWED_COUNT, seed=REVIEWED_SEED)
    ]
    reviewed = apply_decisions(samples, decisions)
    outcomes = [decision.outcome for decision in decisions.values()]
    assert sum(sample.dropped is not None for sample in reviewed) == outcomes.count(Outcome.REJECT)
    assert sum(bool(sample.parents) for sample in reviewed) == outcomes.count(Outcome.EDIT)
    assert all(sample.dropped is None or sample.dropped.rule != "not_reviewed" for sample in reviewed)
