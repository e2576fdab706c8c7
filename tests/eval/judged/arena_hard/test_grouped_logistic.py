"""The optimum, against scikit-learn's on the same design written out, and where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from afterbase.eval.judged.alpaca_eval.l1_logistic import sigmoid
from afterbase.eval.judged.arena_hard.grouped_logistic import Design, Fit, fit


def _toy(seed: int, ridge: float, groups: int = 3) -> tuple[Design, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group, x = np.arange(90) % groups, rng.normal(size=(90, 2))
    total = rng.integers(0, 6, size=90)
    won = rng.binomial(2 * total, sigmoid(rng.normal(size=groups)[group] + x @ [0.5, -1])) / 2
    return Design(group_R=group, x_RS=x, groups=groups, ridge_S=np.full(2, ridge), ridge_u=ridge), won, total


@given(seed=st.integers(0, 500), ridge=st.sampled_from([0.0, 1.0, 30.0]))
def test_the_gradient_is_zero_from_any_start(seed: int, ridge: float) -> None:
    design, won, total = _toy(seed, ridge)
    got = fit(design, won, total)
    off = total * sigmoid(got.u_G[design.group_R] + design.x_RS @ got.b_S) - won
    np.testing.assert_allclose(np.bincount(design.group_R, off) + ridge * got.u_G, 0, atol=1e-8)
    np.testing.assert_allclose(off @ design.x_RS + ridge * got.b_S, 0, atol=1e-8)
    again = fit(design, won, total, start=Fit(u_G=np.array([4.0, -4, 0]), b_S=np.array([3.0, 3])))
    np.testing.assert_allclose(np.r_[again.u_G, again.b_S], np.r_[got.u_G, got.b_S], atol=1e-7)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_scikit_learn_agrees(ridge: float) -> None:
    design, won, total = _toy(7, ridge)
    written_out = np.hstack([np.eye(3)[design.group_R], design.x_RS])
    peer = LogisticRegression(C=1 / ridge if ridge else np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000)
    peer.fit(np.vstack([written_out] * 2), np.repeat([1, 0], 90), sample_weight=np.r_[won, total - won])
    got = fit(design, won, total)
    np.testing.assert_allclose(np.r_[got.u_G, got.b_S], peer.coef_[0], atol=1e-5)


def test_a_feature_without_spread_and_a_group_without_battles_stay_at_zero() -> None:
    design, won, total = _toy(1, 0.0)
    flat = Design(group_R=design.group_R, x_RS=design.x_RS * [1, 0], groups=3, ridge_S=np.zeros(2))
    there = design.group_R != 2
    got = fit(flat, won * there, total * there)
    assert got.b_S[1] == got.u_G[2] == 0
    assert np.abs(got.u_G[:2]).min() > 0
