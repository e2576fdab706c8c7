import math

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from afterbase.data.review.agreement import Agreement, alpha, by_pair, by_reviewer, kappa, pairs_of

CATEGORY = st.sampled_from(["accept", "edit", "reject"])
UNITS = st.lists(st.dictionaries(st.sampled_from(["ada", "ben", "cyd", "dan"]), CATEGORY, max_size=4), max_size=40)


def oracle(units) -> float:
    """The `krippendorff` package's alpha."""
    names, categories = sorted({n for u in units for n in u}), ["accept", "edit", "reject"]
    table = [[categories.index(unit[name]) if name in unit else np.nan for unit in units] for name in names]
    with np.errstate(invalid="ignore"):
        return float(krippendorff.alpha(reliability_data=table, level_of_measurement="nominal"))


@given(UNITS)
@settings(deadline=None)
def test_alpha_is_that_of_the_krippendorff_package(units):
    rated = [unit for unit in units if len(unit) > 1]
    assume(len({c for unit in rated for c in unit.values()}) > 1)
    assert alpha(units).value == pytest.approx(oracle(units), abs=1e-12)


def test_alpha_of_a_published_example():
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), C: four observers, missing data, 0.743."""
    table = {
        "a": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        "b": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        "c": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        "d": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    }
    units = [{name: str(row[i]) for name, row in table.items() if row[i] is not None} for i in range(12)]
    assert alpha(units).value == pytest.approx(0.743, abs=5e-4)


@given(st.lists(st.tuples(CATEGORY, CATEGORY), min_size=1, max_size=60))
@settings(deadline=None)
def test_kappa_is_that_of_scikit_learn(pairs):
    first, second = zip(*pairs, strict=True)
    assume(len({*first, *second}) > 1)
    expected = cohen_kappa_score(first, second)
    assert kappa(pairs).value == pytest.approx(expected, abs=1e-12)


def test_kappa_by_hand():
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: p_o 0.7, p_e 0.5."""
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    found = kappa(pairs)
    assert found.value == pytest.approx(0.4)
    assert (found.units, found.disagreements) == (50, 15)


@pytest.mark.parametrize("measure", [alpha, lambda units: kappa(pairs_of(units, "ada", "ben"))], ids=["alpha", "kappa"])
def test_without_a_second_category_nothing_is_defined(measure):
    found = measure([{"ada": "accept", "ben": "accept"}] * 3)
    assert found == Agreement(value=None, low=None, high=None, units=3, disagreements=0)
    assert measure([]) == Agreement(value=None, low=None, high=None, units=0, disagreements=0)


def test_single_ratings_do_not_count():
    units = [{"ada": "accept", "ben": "reject"}, {"ada": "reject", "ben": "reject"}]
    assert alpha([*units, {"ada": "edit"}, {}]) == alpha(units)


def test_interval_holds_the_value_and_is_that_of_plain_resampling():
    rng = np.random.default_rng(1)
    units = [{"ada": a, "ben": a if rng.random() < 0.8 else "reject"} for a in rng.choice(["accept", "edit"], 60)]
    found = alpha(units)
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low < found.value < found.high
    plain = [alpha([units[i] for i in rng.integers(0, 60, 60)]).value for _ in range(400)]
    low, high = np.quantile([value for value in plain if value is not None], [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.06)
    assert found.high == pytest.approx(high, abs=0.06)
    assert alpha(units) == found, "the same drafts have the same interval"


def test_covers_what_it_says_about_nine_times_in_ten():
    """95 % intervals over 80 drafts from a known model; percentile bootstraps fall a little short of their level."""
    rng, hits, rounds = np.random.default_rng(0), 0, 200
    truth = 1 - 0.32 / 0.5  # two categories at one half, told wrongly with probability 0.2 by each: 2 * 0.2 * 0.8 apart
    for _ in range(rounds):
        real = rng.random(80) < 0.5
        said = [np.where(rng.random(80) < 0.2, ~real, real) for _ in range(2)]
        found = kappa([(str(a), str(b)) for a, b in zip(*said, strict=True)])
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.89 <= hits / rounds <= 0.99


def test_by_pair_and_by_reviewer():
    units = [
        {"ada": "accept", "ben": "accept"},
        {"ada": "reject", "ben": "accept"},
        {"ben": "reject", "cyd": "reject"},
        {"ben": "accept", "cyd": "accept"},
        {"dan": "accept"},
    ]
    pairs = by_pair(units)
    assert set(pairs) == {("ada", "ben"), ("ben", "cyd")}
    assert pairs["ben", "cyd"].value == 1
    assert pairs["ada", "ben"].value == 0
    each = by_reviewer(units)
    assert list(each) == ["ada", "ben", "cyd"]
    assert each["cyd"].value == 1
    assert each["ben"] == alpha(units)
    assert not any(math.isnan(a.value) for a in each.values() if a.value is not None)
