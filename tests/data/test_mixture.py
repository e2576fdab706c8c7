from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import Drop, Sample, conversation, read_samples, write_samples
from afterbase.core.store import Artifact, Store
from afterbase.data.mixture import Mixture, clean_and_mix, mix

WIDE = Mixture(most_per_domain=1000, longest=1000)


def sample(response: str, *, prompt: str = "Q", domain: str = "logic", dropped: Drop | None = None) -> Sample:
    return Sample(
        messages=conversation(prompt, response),
        domain=domain,
        kind="curated",
        problem_id=None,
        producer={"name": "toy"},
        dropped=dropped,
    )


def kept(samples: list[Sample]) -> list[str]:
    return [s.response for s in samples if s.dropped is None]


def rules(samples: list[Sample]) -> Counter[str]:
    return Counter(s.dropped.rule for s in samples if s.dropped is not None)


def test_of_equal_conversations_one_is_kept():
    mixed = clean_and_mix([sample("a"), sample("a"), sample("a", prompt="other"), sample("b")], WIDE, seed=0)
    assert sorted(kept(mixed)) == ["a", "a", "b"]
    assert rules(mixed) == {"duplicate": 1}


def test_a_response_over_the_limit_is_dropped_with_its_length():
    mixed = clean_and_mix([sample("x" * 10), sample("y" * 11)], Mixture(most_per_domain=9, longest=10), seed=0)
    assert kept(mixed) == ["x" * 10]
    assert [s.dropped for s in mixed if s.dropped] == [Drop(stage="mix", rule="too long", score=11)]


def test_a_domain_is_cut_at_its_cap_and_the_others_are_not():
    samples = [sample(f"{d}{i}", domain=d) for d, n in (("logic", 5), ("chat", 2)) for i in range(n)]
    mixed = clean_and_mix(samples, Mixture(most_per_domain=3, longest=99), seed=0)
    assert Counter(s.domain for s in mixed if s.dropped is None) == {"logic": 3, "chat": 2}
    assert rules(mixed) == {"domain is full": 2}


def test_dropped_rows_count_for_no_rule():
    """A row that is out already neither fills its domain nor makes a kept row a duplicate."""
    earlier = Drop(stage="curate", rule="truncated", score=3.0)
    samples = [*(sample("a", dropped=earlier) for _ in range(5)), sample("a"), sample("too long" * 9)]
    for seed in range(5):
        mixed = clean_and_mix(samples, Mixture(most_per_domain=1, longest=50), seed=seed)
        assert kept(mixed) == ["a"]
        assert rules(mixed) == {"truncated": 5, "too long": 1}


def test_an_earlier_decision_stands():
    earlier = Drop(stage="curate", rule="wrong: mismatch", score=0.0)
    [row] = clean_and_mix([sample("x" * 99, dropped=earlier)], Mixture(most_per_domain=1, longest=1), seed=0)
    assert row.dropped == earlier


SAMPLES = st.lists(
    st.builds(
        sample,
        st.text("ab", min_size=1, max_size=4),
        prompt=st.sampled_from("PQ"),
        domain=st.sampled_from(["logic", "chat"]),
        dropped=st.sampled_from([None, None, Drop(stage="draft", rule="wrong: no_box")]),
    ),
    max_size=20,
)


@given(SAMPLES, st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
@settings(deadline=None)
def test_nothing_is_lost_and_every_rule_holds(samples: list[Sample], most: int, longest: int, seed: int):
    mixed = clean_and_mix(samples, Mixture(most_per_domain=most, longest=longest), seed=seed)
    assert Counter(s.id for s in mixed) == Counter(s.id for s in samples)
    assert sum(s.dropped is not None and s.dropped.stage == "draft" for s in mixed) == sum(
        s.dropped is not None for s in samples
    )
    of_domain = Counter(s.domain for s in mixed if s.dropped is None)
    texts = [str(list(s.messages)) for s in mixed if s.dropped is None]
    assert all(n <= most for n in of_domain.values())
    assert all(len(response) <= longest for response in kept(mixed))
    assert len(set(texts)) == len(texts)
    assert all(of_domain[s.domain] == most for s in mixed if s.dropped and s.dropped.rule == "domain is full")


def test_the_order_is_that_of_the_seed():
    samples = [sample(str(i)) for i in range(30)]
    first, again, other = (kept(clean_and_mix(samples, WIDE, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first != [s.response for s in samples]


def toy_set(store: Store, name: str, samples: list[Sample]) -> Artifact:
    return store.produce(
        name,
        "toy",
        1,
        what={"name": name},
        inputs={},
        make=lambda w: write_samples(w.payload / "samples.parquet", samples),
    )


def test_the_artifact_holds_the_rows_of_all_sets(tmp_path):
    store = Store(tmp_path)
    sets = [toy_set(store, "a", [sample("a"), sample("b")]), toy_set(store, "b", [sample("a"), sample("c")])]
    artifact = mix(store, "SFT set", sets, WIDE, seed=0)
    samples = read_samples(artifact.payload / "samples.parquet")
    assert sorted(kept(samples)) == ["a", "b", "c"]
    assert rules(samples) == {"duplicate": 1}
    assert artifact.metrics() == [{"step": 1, "samples": 4, "kept": 3}]


def test_a_set_without_a_kept_sample_is_refused_with_the_reasons(tmp_path):
    store = Store(tmp_path)
    wrong, long = Drop(stage="curate", rule="wrong: mismatch"), "x" * 2000
    sets = [toy_set(store, "a", [sample("a", dropped=wrong), sample("b", dropped=wrong), sample(long)])]
    with pytest.raises(UserError, match=r"3 samples, all dropped: wrong: mismatch \(2\), too long \(1\)"):
        mix(store, "SFT set", sets, WIDE, seed=0)
