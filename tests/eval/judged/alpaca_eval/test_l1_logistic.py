"""The exact optimum: against scikit-learn, and by the conditions that only an optimum meets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from afterbase.eval.judged.alpaca_eval.l1_logistic import Rows, fit, loss, sigmoid


def _rows(seed: int, n: int = 60, k: int = 3) -> Rows:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k)) * rng.uniform(0.1, 3, size=k)
    y = np.clip(sigmoid(x @ rng.normal(size=k) * 2) + rng.normal(size=n) * 0.2, 0, 1)
    return Rows(x_NK=x, y_N=y, w_SN=rng.uniform(0.05, 1, size=(1, n)))


def _value(rows: Rows, C: float, b: np.ndarray) -> float:
    return float(np.abs(b).sum() + C * rows.w_SN[0] @ loss(rows.x_NK @ b, rows.y_N))


@given(seed=st.integers(0, 1000), log_C=st.floats(-4, 4), k=st.integers(1, 4))
def test_a_subgradient_of_the_objective_is_zero(seed: int, log_C: float, k: int) -> None:
    rows, C = _rows(seed, k=k), 10**log_C
    b = fit(rows, C)[0]
    slope = C * (rows.w_SN[0] * (sigmoid(rows.x_NK @ b) - rows.y_N)) @ rows.x_NK
    scale = 1e-9 * max(1, C)
    assert np.all(np.abs(slope[b == 0]) <= 1 + scale)
    np.testing.assert_allclose(slope[b != 0], -np.sign(b[b != 0]), atol=scale * 100)


@settings(max_examples=25)  # so far a start takes hundreds of steps
@given(seed=st.integers(0, 1000), C=st.sampled_from([0.01, 1.0, 100.0]))
def test_nothing_around_is_lower_and_the_start_does_not_matter(seed: int, C: float) -> None:
    rows = _rows(seed)
    b = fit(rows, C)[0]
    rng = np.random.default_rng(seed)
    for scale in (1e-3, 1e-1, 1):
        assert _value(rows, C, b + scale * rng.normal(size=3)) >= _value(rows, C, b)
    np.testing.assert_allclose(fit(rows, C, start_SK=np.array([[20.0, -20.0, 5.0]]))[0], b, atol=1e-6)


@pytest.mark.parametrize("C", [0.02, 0.5, 20.0])
def test_scikit_learn_agrees_when_it_is_told_to_be_exact(C: float) -> None:
    rows = _rows(3, n=200)
    peer = LogisticRegression(
        C=C, l1_ratio=1, solver="liblinear", fit_intercept=False, tol=1e-12, max_iter=100_000, random_state=0
    )
    labels = np.repeat([1, 0], len(rows.y_N))
    weights = np.concatenate([rows.w_SN[0] * rows.y_N, rows.w_SN[0] * (1 - rows.y_N)])
    peer.fit(np.vstack([rows.x_NK, rows.x_NK]), labels, sample_weight=weights)
    np.testing.assert_allclose(fit(rows, C), peer.coef_, atol=2e-6)


def test_sets_of_weights_are_fitted_side_by_side_as_if_alone() -> None:
    rows = _rows(1)
    kept_SN = np.stack([np.ones(60, dtype=bool), np.arange(60) % 3 != 0, np.arange(60) % 7 != 0])
    together = fit(Rows(x_NK=rows.x_NK, y_N=rows.y_N, w_SN=np.where(kept_SN, rows.w_SN, 0)), 5.0)
    for kept, b in zip(kept_SN, together, strict=True):  # a row without weight is as good as absent
        alone = Rows(x_NK=rows.x_NK[kept], y_N=rows.y_N[kept], w_SN=rows.w_SN[:, kept])
        np.testing.assert_allclose(b, fit(alone, 5.0)[0], atol=1e-9)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_sure_labels_have_a_finite_optimum(label: float) -> None:
    ones = Rows(x_NK=np.ones((50, 1)), y_N=np.full(50, label), w_SN=np.ones((1, 50)))
    b = fit(ones, 1e4)[0, 0]
    # |b| + 50 C log(1 + exp(-|b|)) is flat where 50 C sigmoid(-|b|) = 1
    assert b == pytest.approx((2 * label - 1) * np.log(50e4 - 1), rel=1e-6)


def test_even_labels_and_a_heavy_penalty_give_exactly_zero() -> None:
    rows = _rows(0)
    assert fit(Rows(x_NK=rows.x_NK, y_N=np.full(60, 0.5), w_SN=rows.w_SN), 10.0).tolist() == [[0, 0, 0]]
    assert fit(rows, 1e-6).tolist() == [[0, 0, 0]]


def test_loss_and_sigmoid_at_the_extremes() -> None:
    z = np.array([-800.0, 0.0, 800.0])
    assert sigmoid(z).tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(loss(z, np.array([0.0, 0.5, 0.0])), [0, np.log(2), 800])
