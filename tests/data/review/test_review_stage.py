import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.errors import UserError, Waiting
from afterbase.core.sample import read_samples, write_samples
from afterbase.core.store import Artifact, Store
from afterbase.data.domains import REVIEWED
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_stage import invite, open_drafts, review_by_people, review_folder
from afterbase.data.review.review_store import ReviewStore, open_reviews
from afterbase.data.review.web.review_server import waiting_run
from review_toys import draft, review_all

SPEC: dict[str, Any] = {
    "sentences": [1, 1],
    "words": [1, 9],
    "must_mention": [["yes"]],
    "persona_marks": [],
    "must_not": [],
}


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """A store, and six shipped drafts in the place of the real ones; recorded decisions are not to be looked at."""
    rows = [{"prompt": f"P{i}", "response": f"Yes {i}.", "spec": {**SPEC, "kind": "question"}} for i in range(6)]
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setitem(REVIEWED, "chat", path)
    return Store(tmp_path / "store")


def review(store: Store, policy: Review, *, run: str = "toy") -> Artifact:
    drafts = open_drafts(store, "chat")
    invite(store, "chat", drafts, policy, run=run)
    return review_by_people(store, "chat", drafts, policy, run=run)


def people(store: Store, run: str = "toy") -> ReviewStore:
    return open_reviews(review_folder(store.root.parent, run), run, None)


def by_number(item) -> Outcome:
    """Odd ones are rejected."""
    return Outcome.REJECT if int(item.messages[0]["content"][1:]) % 2 else Outcome.ACCEPT


def test_the_run_waits_says_how_to_continue_and_goes_on(store):
    with pytest.raises(Waiting) as waiting:
        review(store, Review(double=0))
    assert "6 drafts to review" in waiting.value.got
    assert f"afterbase review toy --root {store.root.parent}" in waiting.value.remedy
    reviews = people(store)
    item = reviews.next_item("chat", "ada")
    assert item is not None
    reviews.give(item.id, "ada", by_number(item), reason="clash")
    with pytest.raises(Waiting, match="5 drafts to review"):
        review(store, Review(double=0))
    review_all(reviews, "ada", by_number)
    artifact = review(store, Review(double=0))
    samples = read_samples(artifact.payload / "samples.parquet")
    assert [s.messages[0]["content"] for s in samples if s.dropped is None] == ["P0", "P2", "P4"]
    assert {s.dropped.rule for s in samples if s.dropped} <= {"clash", "good"}
    assert [v.verifier for v in samples[0].verdicts] == ["rubric", "review:ada"]
    lines = [json.loads(line) for line in (artifact.payload / "verdicts.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert lines[0].keys() >= {"sample", "reviewer", "decision", "reason", "edited_response", "diff"}
    assert artifact.metrics()[-1]["kept"] == 3


def test_a_finished_review_needs_no_database(store):
    with pytest.raises(Waiting):
        review(store, Review(double=0))
    review_all(people(store), "ada", by_number)
    first = review(store, Review(double=0))
    for path in review_folder(store.root.parent, "toy").iterdir():
        path.unlink()
    assert review(store, Review(double=0)).digest == first.digest
    assert not any(review_folder(store.root.parent, "toy").iterdir()), "nobody is asked again"


def test_the_same_decisions_are_the_same_artifact_whenever_they_were_taken(store, tmp_path):
    digests = set()
    for name in ("one", "two"):
        other = Store(tmp_path / name / "store")
        with pytest.raises(Waiting):
            review(other, Review(double=0))
        review_all(people(other), "ada", by_number)
        digests.add(review(other, Review(double=0)).digest)
    assert len(digests) == 1


def test_low_agreement_holds_back_and_more_double_reviews_build_on_the_old(store):
    policy = Review(double=0.5, min_alpha=0.9)
    with pytest.raises(Waiting):
        review(store, policy)
    reviews = people(store)
    for name in ("ada", "ben"):
        reviews.add_reviewer(name, adjudicates=False)
    review_all(reviews, "ada", by_number)
    review_all(reviews, "ben", lambda _: Outcome.ACCEPT)
    while (conflict := reviews.conflict("chat")) is not None:
        reviews.settle(conflict.id, "ada", Outcome.ACCEPT, reason="good", version=conflict.version)
    with pytest.raises(Waiting, match=r"an alpha of 0\.9") as waiting:
        review(store, policy)
    assert "raise `double` (now 0.5), or lower `min_alpha`" in waiting.value.remedy
    with pytest.raises(Waiting, match="3 drafts to review"):
        review(store, Review(double=1.0, min_alpha=0.9))
    assert read_samples(review(store, Review(double=0.5)).payload / "samples.parquet")


def test_another_policy_or_run_is_another_artifact(store):
    planned = Store(store.root, plan_only=True)
    drafts = open_drafts(store, "chat")
    keys = {
        review_by_people(planned, "chat", drafts, policy, run=run).key
        for policy, run in [
            (Review(), "a"), (Review(), "b"), (Review(share=0.5), "a"), (Review(guideline="x"), "a"),
            (Review(database="sqlite://"), "a"),
        ]
    }  # fmt: skip
    assert len(keys) == 3, "where the database lies and what the guideline says is no part of it"


def test_a_plan_asks_nobody(store):
    planned = Store(store.root, plan_only=True)
    assert review(planned, Review()).planned
    assert not (store.root.parent / "runs").exists()


def test_a_guideline_that_is_not_there_is_told(store):
    with pytest.raises(UserError, match="a guideline is a Markdown file"):
        review(store, Review(guideline="nowhere.md"))


def test_a_file_of_ones_own_is_reviewed_as_the_page_on_it_says(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "review.md").read_text()
    program = textwrap.dedent(re.findall(r"((?:    .*\n|\n)*    rows = decided_samples.*\n)", page)[0])
    opening, end = re.split(r"# afterbase review mine.*\n", program)
    opening = opening.replace('Path("clean/samples.parquet")', "file").replace("Path()", "root")
    write_samples(tmp_path / "mine.parquet", [draft(i) for i in range(4)])
    names: dict[str, Any] = {"file": tmp_path / "mine.parquet", "root": tmp_path}
    exec(opening, names)
    reviews = waiting_run("mine", tmp_path)
    for name in ("ada", "ben"):
        while (item := reviews.next_item("mine", name)) is not None:
            reviews.give(
                item.id, name, Outcome.REJECT if "3" in item.messages[0]["content"] else Outcome.ACCEPT, reason="x"
            )
    exec(end, names)
    assert names["progress"].missing == ()
    assert [sample.dropped is None for sample in names["rows"]] == [True, True, True, False]


@pytest.mark.parametrize(("unreviewed", "kept"), [("drop", 3), ("keep", 6)])
def test_what_nobody_reviewed_is_dropped_or_kept(store, unreviewed, kept):
    policy = Review(share=0.5, double=0, unreviewed=unreviewed)
    with pytest.raises(Waiting):
        review(store, policy)
    review_all(people(store), "ada", lambda _: Outcome.ACCEPT)
    samples = read_samples(review(store, policy).payload / "samples.parquet")
    assert sum(s.dropped is None for s in samples) == kept
    assert {s.dropped.rule for s in samples if s.dropped} <= {"not_reviewed"}


def test_without_a_database_nobody_is_asked_and_the_remedy_is_said(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(UserError, match="people review drafts in a web app") as raised:
        invite(store, "chat", open_drafts(store, "chat"), Review(double=0), run="toy")
    assert raised.value.remedy == "pip install 'afterbase[review]'"
    assert not review_folder(store.root.parent, "toy").exists()
