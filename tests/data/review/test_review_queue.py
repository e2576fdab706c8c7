import dataclasses
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.sample import Status, Verdict
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_queue import LONGEST, fingerprint, queue, stratified, uncertainty
from review_toys import draft

STRATA = st.dictionaries(st.integers(0, 10**6).map(str), st.sampled_from("abcd"), min_size=1, max_size=80)


def ids(places):
    return [place.sample.id for place in places]


@given(STRATA, st.integers(0, 5))
@settings(deadline=None)
def test_every_beginning_holds_the_strata_in_proportion(strata, seed):
    order = stratified(strata, seed=seed)
    assert sorted(order) == sorted(strata)
    sizes, seen = Counter(strata.values()), Counter()
    for k, key in enumerate(order, start=1):
        seen[strata[key]] += 1
        for stratum, size in sizes.items():
            share = size / len(strata)
            assert abs(seen[stratum] - k * share) <= 1 + len(sizes) * share


def test_the_draw_follows_the_seed_and_not_the_order_of_the_drafts():
    samples = [draft(i) for i in range(30)]
    policy = Review(share=0.5)
    assert ids(queue(samples, policy)) == ids(queue(samples[::-1], policy))
    assert ids(queue(samples, policy)) != ids(queue(samples, Review(share=0.5, seed=1)))


def test_strata_are_kinds_writers_and_lengths():
    samples = [draft(i, kind="rare") for i in range(4)] + [draft(100 + i, kind="common") for i in range(36)]
    kinds = Counter(place.sample.extra["kind"] for place in queue(samples, Review(share=0.25)))
    assert kinds == {"rare": 1, "common": 9}
    lengths = [draft(i, response="x" * (5 if i < 15 else 500)) for i in range(30)]
    assert Counter(len(p.sample.response) for p in queue(lengths, Review(share=0.2))) == {5: 3, 500: 3}


@given(st.integers(1, 60), st.floats(0.01, 1), st.floats(0, 1), st.floats(1, 3))
@settings(deadline=None, max_examples=50)
def test_shares_are_rounded_up_and_a_larger_one_holds_a_smaller_one(drafts, share, double, more):
    samples = [draft(i) for i in range(drafts)]
    policy = Review(share=share, double=double)
    places = queue(samples, policy)
    assert len(places) == policy.reviewed_of(drafts) >= 1
    assert sum(place.twice for place in places) == policy.twice_of(len(places))
    twice = {p.sample.id for p in places if p.twice}
    larger = queue(samples, Review(share=min(1, share * more), double=double))
    assert ids(larger)[: len(places)] == ids(places)
    doubled = queue(samples, Review(share=share, double=min(1, double * more)))
    assert twice <= {p.sample.id for p in doubled if p.twice}


def test_a_share_that_is_whole_is_not_rounded_up():
    assert Review(share=0.07).reviewed_of(100) == 7
    assert Review(share=0.07).reviewed_of(101) == 8
    assert Review(double=0.0).twice_of(50) == 0


def test_dropped_endless_and_equal_drafts_are_not_asked_about():
    samples = [draft(0), draft(0), draft(1).drop("x", "y"), draft(2, response="a" * LONGEST), draft(3)]
    assert sorted(ids(queue(samples, Review()))) == sorted([draft(0).id, draft(3).id])
    assert queue([], Review()) == []


def test_least_certain_first_leaves_the_draw_as_it_is():
    samples = [draft(i, value=(i + 1) / 40) for i in range(39)]
    plain, by_doubt = queue(samples, Review(share=0.5)), queue(samples, Review(share=0.5, order="uncertain"))
    assert sorted(ids(plain)) == sorted(ids(by_doubt))
    assert {p.sample.id for p in plain if p.twice} == {p.sample.id for p in by_doubt if p.twice}
    doubts = [uncertainty(place.sample) for place in by_doubt]
    assert doubts == sorted(doubts, reverse=True)
    assert doubts[0] > 0.9


@pytest.mark.parametrize(
    ("values", "doubt"), [([], 1.0), ([0.5], 1.0), ([1.0], 0.0), ([0.0], 0.0), ([1.0, 0.0], 1.0), ([0.9], 0.2)]
)
def test_uncertainty_by_hand(values, doubt):
    verdicts = [Verdict(verifier="v", status=Status.OK, value=value, reason="r") for value in values]
    failed = Verdict(verifier="v", status=Status.FAILED, value=0.0, reason="timeout")
    assert uncertainty(dataclasses.replace(draft(0), verdicts=[*verdicts, failed])) == pytest.approx(doubt)


def test_fingerprint_tells_queues_apart():
    samples = [draft(i) for i in range(10)]
    policies = [Review(), Review(seed=1), Review(double=0.9), Review(min_alpha=0.5)]
    words = [fingerprint(queue(samples, p)) for p in policies]
    assert words[0] == words[3]
    assert len(set(words)) == 3
