import pytest

from afterbase.core.sample import Drop, Status
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import Item, Vote
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_queue import LONGEST
from afterbase.data.review.review_results import agreement_report, decided_samples, final_vote, verdict_row
from review_toys import SECRET_VERIFIER, draft


def vote(reviewer: str, outcome: str, *, settles: bool = False, edited: str | None = None) -> Vote:
    return Vote(
        reviewer=reviewer, outcome=Outcome(outcome), reason="slip" if outcome == "edit" else outcome, edited=edited,
        diff=None if edited is None else "-a\n+b\n", settles=settles, seconds=1.0, given=5.0,
    )  # fmt: skip


def item(number: int, *votes: Vote, value: float | None = None) -> Item:
    sample = draft(number, value=value)
    return Item(id=number, sample=sample.id, messages=list(sample.messages), version=1, state="done", votes=votes)


def test_an_adjudicator_has_the_last_word_and_all_votes_stay():
    votes = vote("ada", "accept"), vote("ben", "reject"), vote("cyd", "reject", settles=True)
    [row] = decided_samples([draft(0)], [item(0, *votes)], Review())
    assert row.dropped == Drop(stage="review", rule="reject")
    said = [(v.verifier, v.status, v.value) for v in row.verdicts]
    assert said == [
        ("review:ada", Status.OK, 1.0),
        ("review:ben", Status.WRONG, 0.0),
        ("review:cyd", Status.WRONG, 0.0),
    ]
    assert final_vote(item(0, *votes)).reviewer == "cyd"


def test_an_edit_leaves_the_draft_with_its_votes_and_adds_the_edited_sample():
    before, after = decided_samples(
        [draft(0)], [item(0, vote("ada", "edit", edited="Mended."), vote("ben", "edit", edited="Mended."))], Review()
    )
    assert before.dropped == Drop(stage="review", rule="edited")
    assert [(v.verifier, v.status) for v in before.verdicts] == [("review:ben", "wrong"), ("review:ada", "wrong")]
    assert after.response == "Mended."
    assert after.parents == [draft(0).id] == [before.id]
    assert [(v.verifier, v.status, v.reason) for v in after.verdicts] == [("review:ada", "ok", "slip")]


def test_drafts_that_nobody_could_or_did_review():
    samples = [draft(0, response="x" * (LONGEST + 1)), draft(1).drop("mix", "duplicate"), draft(2)]
    long, dropped, missed = decided_samples(samples, [], Review())
    assert long.dropped is not None
    assert (long.dropped.rule, long.dropped.score) == ("too_long_to_review", LONGEST + 1 + len("Question 0?"))
    assert dropped.dropped == Drop(stage="mix", rule="duplicate")
    assert missed.dropped == Drop(stage="review", rule="not_reviewed")
    kept = decided_samples(samples, [], Review(unreviewed="keep"))
    assert [s.dropped is None for s in kept] == [False, False, True]


def test_agreement_of_people_and_of_verifiers_with_them():
    samples = [draft(i, value=i / 10) for i in range(10)]
    decided = [
        item(i, vote("ada", "accept" if i > 4 else "reject"), vote("ben", "accept" if i > 3 else "reject"))
        for i in range(10)
    ]
    found = agreement_report(samples, decided)
    assert found["alpha"]["units"] == 10
    assert found["alpha"]["disagreements"] == 1
    assert set(found["reviewers"]) == {"ada", "ben"}
    assert found["pairs"][0]["reviewers"] == ["ada", "ben"]
    # The verifier says accept from 0.5 on (5 to 9), and ada, who came first, from 5 on.
    assert found["verifiers"][SECRET_VERIFIER]["value"] == pytest.approx(1.0)
    assert agreement_report([], [])["alpha"]["value"] is None


def test_rows_hold_no_times():
    row = verdict_row(item(0), vote("ada", "edit", edited="b"))
    assert row["diff"] == "-a\n+b\n"
    assert not {"seconds", "given"} & row.keys()
