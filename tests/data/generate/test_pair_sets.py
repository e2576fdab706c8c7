import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Sample, Status, Verdict, conversation, write_problems
from afterbase.core.store import Artifact, Store
from afterbase.data.generate.pair_sets import chosen_pairs, join_pairs
from afterbase.data.own.own_sets import PAIR_SCHEMA


def seen(prompt: str, response: str, rule: str | None) -> Sample:
    """A draft that a person took, or dropped by that rule."""
    verdict = Verdict(verifier="review:ada", status=Status.OK, value=1.0, reason="toy")
    sample = Sample(
        messages=conversation(prompt, response), domain="cards", kind="open", problem_id=None, producer={"name": "toy"},
        verdicts=[verdict],
    )  # fmt: skip
    return sample if rule is None else sample.drop("review", rule)


def test_a_taken_draft_stands_against_the_rejected_one_of_the_closest_length():
    samples = [seen("p", "four", None), seen("p", "a", "awkward"), seen("p", "five!", "awkward"), seen("q", "x", None)]
    assert chosen_pairs(samples) == [{"prompt": "p", "chosen": "four", "rejected": "five!", "source": "review"}]


def test_edited_and_unreviewed_drafts_are_rejected_by_nobody():
    unreviewed = dataclasses.replace(seen("p", "b", "not_reviewed"), verdicts=[])
    assert chosen_pairs([seen("p", "a", None), seen("p", "c", "edited"), unreviewed]) == []


def pairs(store: Store, name: str, prompts: str) -> Artifact:
    rows = [{"prompt": prompt, "chosen": "good", "rejected": "bad", "source": name} for prompt in prompts]

    def make(work):
        pq.write_table(pa.Table.from_pylist(rows, PAIR_SCHEMA), work.payload / "pairs.parquet")

    return store.produce(name, "toy", 1, what={"name": name, "of": prompts}, inputs={}, make=make)


def problems(store: Store, domain: str, prompts: str) -> Artifact:
    made = [Problem(domain=domain, prompt=p, gold=None, verifier="none", spec={}) for p in prompts]

    def make(work):
        write_problems(work.payload / "train.parquet", made)

    return store.produce(f"{domain} problems", "toy", 1, what={"domain": domain}, inputs={}, make=make)


def test_a_joined_pair_is_there_once_and_has_its_prompts_domain(tmp_path):
    store = Store(tmp_path / "store")
    sets = {"cards": pairs(store, "cards", "ab"), "own": pairs(store, "own", "bcd")}
    known = {"cards": problems(store, "cards", "ab"), "notes": problems(store, "notes", "c")}
    rows = pq.read_table(join_pairs(store, sets, known).payload / "pairs.parquet").to_pylist()
    assert [(row["prompt"], row["domain"]) for row in rows] == [
        ("a", "cards"), ("b", "cards"), ("c", "notes"), ("d", "own"),
    ]  # fmt: skip


@pytest.mark.parametrize("prompts", ["", "a"])
def test_too_few_prompts_are_told_with_what_gives_more(tmp_path, prompts):
    store = Store(tmp_path / "store")
    with pytest.raises(UserError, match="at least two prompts") as raised:
        join_pairs(store, {"cards": pairs(store, "cards", prompts)}, {})
    for word in ("preferences.path", "preferences.temperature", "preferences.samples", "train"):
        assert word in raised.value.remedy
