"""The exact interval of a proportion, against the quantiles of the beta distribution that it has in closed form.

Wilson's is tested with the rest of the statistics, in tests/eval/test_statistics.py.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from afterbase.core.intervals import exact_interval


@given(n=st.integers(1, 400), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.95, 0.99]))
def test_it_is_that_of_the_beta_distribution(n: int, share: float, level: float):
    successes = round(share * n)
    half = (1 - level) / 2
    low = beta.ppf(half, successes, n - successes + 1) if successes else 0.0
    high = beta.ppf(1 - half, successes + 1, n - successes) if successes < n else 1.0
    assert exact_interval(successes, n, level) == pytest.approx((low, high), abs=1e-9)


def test_it_is_as_tables_print_it():
    assert exact_interval(5, 10) == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert exact_interval(0, 10) == pytest.approx((0.0, 0.3085), abs=1e-4)
