import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.data.clean.shares import Domain, Shares, draw, preview, uses


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
