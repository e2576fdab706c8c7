"""Verdict rules, scores against scikit-learn's Bradley-Terry, intervals, and models that only win or lose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from afterbase.eval.judged.arena_hard.score import Battles, Version, draws, first_share, outcomes, score, verdict


def _battles(**outcome: list[float]) -> Battles:
    shares = [(m, share) for m, values in enumerate(outcome.values()) for share in values]
    return Battles(
        baseline="base",
        models=list(outcome),
        questions=[str(i) for i in range(len(shares))],
        model_B=np.array([m for m, _ in shares]),
        question_B=np.arange(len(shares)),
        outcome_B=np.array([share for _, share in shares]),
    )


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("My final verdict is tie: [[A=B]]", "A=B", "A=B"),
        ("[[A>B]] ... so [[A>B]]", "A>B", "A>B"),
        ("[[A>B]] or rather [[A>>B]]", None, "A>>B"),
        ("[[A>>B]] or rather [A>B]", "A>>B", "A>>B"),
        ("[A>B] then [B>A]", None, "B>A"),
        ("[[a>b]]", None, "A>B"),
        ("[[A>>A]]", "A>>A", "A>>A"),
        ("[[C]] [[ A>B ]] A>B", None, None),
        ("", None, None),
    ],
)
def test_verdict_by_both_rules(text: str, old: str | None, new: str | None) -> None:
    assert (verdict(text, "0.1"), verdict(text, "2.0")) == (old, new)


@pytest.mark.parametrize(
    ("labels", "old", "new"),
    [
        (("A>>B", "A>>B"), [0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]),
        (("B>A", "A=B"), [1, 0.5], [0.5, 1]),
        (("B>>A", "B>A"), [1, 1, 1, 0], [0, 1, 1, 1]),
        ((None, "A>B"), [1], []),
        (("A=B", None), [0.5], []),
        ((None, None), [], []),
        (("A<B", "B=A"), [], [0.5, 1]),
        (("B<<A", "A<<B"), [], [0, 0, 0, 0, 0, 0]),
        (("A>>A", "B<A"), [], KeyError),
    ],
)
def test_labels_of_two_games_as_battles(labels, old, new) -> None:
    assert outcomes(labels, "0.1") == old
    if new is KeyError:
        with pytest.raises(KeyError):
            outcomes(labels, "2.0")
    else:
        assert outcomes(labels, "2.0") == new


@pytest.mark.parametrize("version", ["0.1", "2.0"])
def test_all_won_all_lost_all_even_and_the_baseline(version: Version) -> None:
    got = score(_battles(won=[1] * 20, lost=[0] * 20, even=[0.5] * 20), version)
    for name, share in {"won": 100, "lost": 0, "even": 50, "base": 50}.items():
        assert (got[name].score, got[name].ci_low, got[name].ci_high) == pytest.approx((share, share, share))


def test_score_is_the_optimum_that_scikit_learn_finds_over_all_models_at_once() -> None:
    rng = np.random.default_rng(0)
    battles = _battles(**{f"m{i}": rng.choice([0, 0.5, 1], p=[0.5, 0.2, 0.3], size=80 + i).tolist() for i in range(4)})
    x = np.zeros((len(battles.model_B), 5))
    x[:, 4] = -1  # the baseline
    x[np.arange(len(x)), battles.model_B] = 1
    peer = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=10_000)
    weights = np.r_[battles.outcome_B, 1 - battles.outcome_B]
    peer.fit(np.vstack([x, x]), np.repeat([1, 0], len(x)), sample_weight=weights)
    expected = 100 / (1 + np.exp(peer.coef_[0][4] - peer.coef_[0][:4]))
    assert [score(battles, "0.1")[f"m{i}"].score for i in range(4)] == pytest.approx(expected.tolist(), abs=1e-4)


@given(
    won=st.integers(0, 30), even=st.integers(0, 30), lost=st.integers(0, 30), version=st.sampled_from(["0.1", "2.0"])
)
def test_intervals_are_within_0_and_100_and_near_the_score(won: int, even: int, lost: int, version: Version) -> None:
    shares = [1.0] * won + [0.5] * even + [0.0] * lost or [0.5]
    got = score(_battles(m=shares, other=[0.5, 1, 0]), version)["m"]
    assert got.score == pytest.approx(100 * np.mean(shares))
    assert -1e-9 <= got.ci_low <= got.ci_high <= 100 + 1e-9
    error = 100 * np.std(shares) / len(shares) ** 0.5
    if len(shares) >= 20:
        assert got.ci_low - 2 * error - 1e-9 <= got.score <= got.ci_high + 2 * error + 1e-9


def test_a_draw_without_a_model_says_nothing_of_it() -> None:
    got = score(_battles(rare=[1.0], m=[0.5, 1, 0] * 200), "0.1")["rare"]
    assert (got.score, got.ci_low, got.ci_high) == (100, 100, 100)


def test_order_of_the_rows_moves_intervals_by_no_more_than_noise() -> None:
    rng = np.random.default_rng(1)
    shares = rng.choice([0.0, 0.5, 1.0], size=1000)
    one, other = (score(_battles(m=values.tolist()), "0.1")["m"] for values in (shares, np.sort(shares)))
    assert one.score == pytest.approx(other.score)
    assert abs(one.ci_low - other.ci_low) < 1.5


def test_draws_are_those_of_pandas_under_the_seed() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"i": range(50)})
    state = np.random.RandomState(42)
    for got, _ in zip(draws(50, "0.1"), range(3), strict=False):
        assert frame.sample(frac=1, replace=True, random_state=state)["i"].tolist() == got.tolist()


@pytest.mark.parametrize(
    ("label", "old", "new"),
    [("A>>B", 1, 1), ("B>A", 0, 0), ("A=B", 0.5, 0.5), ("B<A", None, 1), ("A>>A", None, None), (None, None, None)],
)
def test_the_share_of_the_first_answer_by_version(label: str | None, old: float | None, new: float | None) -> None:
    assert (first_share(label, "0.1"), first_share(label, "2.0")) == (old, new)
