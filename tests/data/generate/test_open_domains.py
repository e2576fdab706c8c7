import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.sample import Drop, Sample, read_samples
from afterbase.core.store import Store
from afterbase.data.domains import OPEN, REVIEWED
from afterbase.data.generate.open_domains import review_open, reviewed_rows

ROWS = [
    {"prompt": "P1", "response": "Good.", "decision": "accept", "reason": "good", "edited_response": None},
    {"prompt": "P2", "response": "Bad.", "decision": "reject", "reason": "off_topic", "edited_response": None},
    {"prompt": "P3", "response": "Helo.", "decision": "edit", "reason": "slip", "edited_response": "Hello – você."},
]


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """Put labelled rows in the place of the shipped ones."""

    def replace(rows: list[dict[str, Any]], name: str = "labelled.jsonl") -> Path:
        path = tmp_path / name
        lines = [json.dumps({**row, "reviewer": "ada"}, ensure_ascii=False) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
        monkeypatch.setitem(REVIEWED, "chat", path)
        return path

    return replace


def reviewed(store: Store, domain: str = "chat") -> list[Sample]:
    return read_samples(review_open(store, domain).payload / "samples.parquet")


def test_each_decision_is_applied_and_an_edited_draft_stays_as_a_dropped_row(labelled, tmp_path):
    labelled(ROWS)
    accepted, rejected, draft, edited = reviewed(Store(tmp_path / "store"))
    assert [s.response for s in (accepted, rejected, draft, edited)] == ["Good.", "Bad.", "Helo.", "Hello – você."]
    assert [s.dropped for s in (accepted, rejected, draft, edited)] == [
        None,
        Drop(stage="review", rule="off_topic"),
        Drop(stage="review", rule="edited"),
        None,
    ]
    assert edited.parents == [draft.id]
    assert edited.producer == {"name": "chat draft generator", "edited_by": "ada"}
    assert [s.messages[0]["content"] for s in (accepted, rejected, draft, edited)] == ["P1", "P2", "P3", "P3"]


def test_the_key_follows_the_decisions_and_not_the_place_of_the_file(labelled, tmp_path):
    store = Store(tmp_path / "store", plan_only=True)
    keys = []
    for rows, name in ((ROWS, "a.jsonl"), (ROWS, "b.jsonl"), (ROWS[:2], "a.jsonl")):
        labelled(rows, name)
        keys.append(review_open(store, "chat").key)
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("domain", OPEN)
def test_every_shipped_draft_has_its_decision_applied(domain: str, tmp_path):
    samples = reviewed(Store(tmp_path), domain)
    rows = reviewed_rows(domain)
    decisions = Counter(row["decision"] for row in rows)
    assert all(decisions[word] for word in ("accept", "reject", "edit"))  # the shipped set shows all three
    kept = [s for s in samples if s.dropped is None]
    assert len(samples) == len(rows) + decisions["edit"]
    assert len(kept) == decisions["accept"] + decisions["edit"]
    assert all(s.verdicts[-1].verifier.startswith("review:") for s in kept)
    assert {s.response for s in kept} == {
        row["edited_response"] or row["response"] for row in rows if row["decision"] != "reject"
    }
    assert not any(s.dropped and s.dropped.rule == "not_reviewed" for s in samples)
