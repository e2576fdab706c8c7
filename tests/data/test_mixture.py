from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.core.sample import Drop, Sample, conversation, read_samples, write_samples
from afterbase.core.store import Artifact, Store
from afterbase.data.mixture import Domain, Mixture, Shares, clean_and_mix, draw, mix, preview, uses

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


def used(there: dict[str, int], shares: Shares) -> dict[str, int]:
    return {d.domain: d.used for d in draw(there, shares)}


def test_without_shares_every_domain_gives_all_it_may():
    shares = Shares(domains={"maths": Domain(epochs=2.5), "chat": Domain(most=3)})
    assert used({"maths": 10, "chat": 10, "code": 10}, shares) == {"maths": 25, "chat": 3, "code": 10}


def test_the_domain_that_runs_out_first_sets_the_size():
    shares = Shares(domains={"maths": Domain(share=3), "chat": Domain(share=1)})
    assert used({"maths": 60, "chat": 100}, shares) == {"maths": 60, "chat": 20}
    twice = Shares(domains={"maths": Domain(share=3, epochs=2), "chat": Domain(share=1, most=30)})
    assert used({"maths": 60, "chat": 100}, twice) == {"maths": 90, "chat": 30}


def test_rows_are_a_limit():
    shares = Shares(rows=40, domains={"maths": Domain(share=3), "chat": Domain(share=1)})
    assert used({"maths": 60, "chat": 100}, shares) == {"maths": 30, "chat": 10}
    assert used({"maths": 60, "chat": 20}, Shares(rows=40)) == {"maths": 30, "chat": 10}
    assert used({"maths": 6, "chat": 2}, Shares(rows=40)) == {"maths": 6, "chat": 2}


def test_what_cannot_be_met_is_refused():
    with pytest.raises(UserError, match="`code`, without a share"):
        draw({"maths": 1, "code": 1}, Shares(domains={"maths": Domain(share=1)}))
    with pytest.raises(UserError, match="none of `maths`; there is code"):
        draw({"code": 1}, Shares(domains={"maths": Domain(most=1)}))
    with pytest.raises((UserError, ValidationError), match="share of b"):
        Shares(domains={"a": Domain(share=1), "b": Domain()})


COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 500), min_size=1)


@given(COUNTS, st.data())
def test_shares_are_met_within_a_row_and_no_limit_is_broken(there, data):
    domains = {
        name: Domain(
            share=data.draw(st.sampled_from([0.1, 1.0, 2.5])),
            epochs=data.draw(st.sampled_from([0.5, 1.0, 3.0])),
            most=data.draw(st.sampled_from([None, 1, 100])),
        )
        for name in there
    }
    drawn = draw(there, Shares(domains=domains))
    size = max(d.used / d.target for d in drawn if d.target)
    for d in drawn:
        assert d.target is not None
        assert -1e-6 <= size * d.target - d.used <= 1 + 1e-6
        assert d.used <= there[d.domain] * domains[d.domain].epochs + 1e-6
        assert d.used <= (domains[d.domain].most or d.used)


@given(COUNTS, st.integers(0, 3), st.sampled_from([0.3, 1.0, 2.5]))
def test_each_row_is_used_as_often_as_the_others_or_once_more(there, seed, epochs):
    drawn = draw(there, Shares(domains={name: Domain(epochs=epochs) for name in there}))
    domains = np.repeat(np.arange(len(drawn)), [d.there for d in drawn])
    ids = np.random.default_rng(0).integers(0, 2**64, len(domains), dtype=np.uint64)
    times = uses(ids, domains, drawn, seed=seed)
    for number, d in enumerate(drawn):
        mine = times[domains == number]
        assert mine.sum() == d.used
        assert mine.max() - mine.min() <= 1
    order = np.random.default_rng(1).permutation(len(ids))
    assert (uses(ids[order], domains[order], drawn, seed=seed) == times[order]).all(), "order does not choose"


def test_another_seed_is_another_choice():
    ids, one = np.arange(200, dtype=np.uint64), np.zeros(200, np.int64)
    drawn = draw({"a": 200}, Shares(domains={"a": Domain(most=100)}))
    assert (uses(ids, one, drawn, seed=0) != uses(ids, one, drawn, seed=1)).any()


def test_the_preview_tells_what_is_there_and_what_is_used():
    drawn = draw({"maths": 60, "chat": 100}, Shares(domains={"maths": Domain(share=3), "chat": Domain(share=1)}))
    assert preview(drawn).splitlines()[2:] == [
        "| chat | 100 | 20 | 0.20 | 25.0% | 25.0% |",
        "| maths | 60 | 60 | 1.00 | 75.0% | 75.0% |",
    ]
