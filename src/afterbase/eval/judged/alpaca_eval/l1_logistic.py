"""Logistic regression on soft labels under an L1 penalty, solved to the optimum: AlpacaEval's length-controlled model.

    F(b) = |b|_1 + C sum_i w_i [ log(1 + exp(x_i.b)) - y_i x_i.b ]                              (no intercept)

Proximal Newton: a step d minimises the quadratic model of the smooth part plus |b + d|_1 (Lee, Sun and Saunders 2014,
arXiv 1206.1623). Along d the curvature of row i grows by exp(|x_i.d|) at most, so that a step shortened to
|x_i.d| <= 1 always lowers F (Bach 2010, arXiv 0910.4627, section 2): F itself is never computed.

A soft label y weighs as two rows, label 1 at w y and label 0 at w (1 - y). liblinear minimises the same F, to a
tolerance that leaves the third digit of b open.

N rows, K features (few), P = K (K + 1) / 2 pairs of features; S sets of weights, each of which has its own fit, all in
one pass over the rows: what the folds of a cross-validation are.
"""

import copy

import numpy as np

_CLOSE = 1e-5  # the last step, in logits: the error after a step is about its square
_MOST_STEPS, _MOST_SWEEPS = 500, 1000


class Rows:
    """Features (N, K), soft labels (N,) in [0, 1] and weights (S, N) >= 0, and what every fit needs of them."""

    def __init__(self, *, x_NK: np.ndarray, y_N: np.ndarray, w_SN: np.ndarray) -> None:
        k = x_NK.shape[1]
        one, other = np.triu_indices(k)
        self.x_NK, self.y_N = x_NK, y_N
        self.x_KN = np.ascontiguousarray(x_NK.T)
        self.reach_K = np.abs(x_NK).max(axis=0)  # how far a unit of each coefficient moves a logit, at most
        self.pairs_NP = x_NK[:, one] * x_NK[:, other]
        self.pair_KK = np.zeros((k, k), dtype=int)  # which of the P pairs two features are
        self.pair_KK[one, other] = self.pair_KK[other, one] = np.arange(len(one))
        self._weigh(w_SN)

    def weighted(self, w_SN: np.ndarray) -> "Rows":
        """The same rows under other weights."""
        other = copy.copy(self)
        other._weigh(w_SN)
        return other

    def _weigh(self, w_SN: np.ndarray) -> None:
        self.w_SN = w_SN
        self.labels_SK = (w_SN * self.y_N) @ self.x_NK
        self.slope_at_zero_SK = 0.5 * w_SN @ self.x_NK - self.labels_SK


def loss(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log(1 + exp(z)) - y z, the cross entropy of the label y under the logit z, without overflow."""
    return np.maximum(z, 0) + np.log(1 + np.exp(-np.abs(z))) - y * z  # log1p takes twice as long for the same digits


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * z)


def fit(rows: Rows, C: float, start_SK: np.ndarray | None = None) -> np.ndarray:
    """(S, K) the minimisers of F, from b = 0 by default. ArithmeticError if one is not reached, though F has one."""
    b_SK = np.zeros(rows.labels_SK.shape) if start_SK is None else start_SK.astype(float)
    open_S = np.arange(len(b_SK))
    if not b_SK.any():  # where the penalty outweighs every slope at 0, 0 is the minimiser
        open_S = open_S[(np.abs(C * rows.slope_at_zero_SK) > 1).any(axis=1)]
        if not len(open_S):
            return b_SK
    for _ in range(_MOST_STEPS):
        w_SN = rows.w_SN if len(open_S) == len(b_SK) else rows.w_SN[open_S]
        # By exp, whose time is a third of tanh's where numpy has no AVX-512; 1 / (1 + inf) is the 0 that is meant.
        p_SN = np.negative(b_SK[open_S]) @ rows.x_KN
        with np.errstate(over="ignore"):
            np.exp(p_SN, out=p_SN)
        p_SN += 1
        np.reciprocal(p_SN, out=p_SN)
        weighted_SN = w_SN * p_SN
        slope_SK = C * (weighted_SN @ rows.x_NK - rows.labels_SK[open_S])
        p_SN *= weighted_SN
        weighted_SN -= p_SN
        curvature_SP = C * (weighted_SN @ rows.pairs_NP)
        step_SK = _steps(slope_SK, curvature_SP[:, rows.pair_KK], b_SK[open_S])
        furthest_S = np.abs(step_SK) @ rows.reach_K
        b_SK[open_S] += step_SK / np.maximum(furthest_S, 1)[:, None]
        open_S = open_S[furthest_S > _CLOSE]
        if not len(open_S):
            return b_SK
    raise ArithmeticError(f"no optimum after {_MOST_STEPS} steps: b = {b_SK[open_S]}, C = {C}")


def _steps(slope_SK: np.ndarray, curvature_SKK: np.ndarray, b_SK: np.ndarray) -> np.ndarray:
    """(S, K) the d that minimise slope.d + d.curvature.d / 2 + |b + d|_1.

    If no sign changes on the way, d solves a linear system in the features that are not 0 or will not stay so.
    """
    sign_SK = np.where(b_SK == 0, -np.sign(slope_SK) * (np.abs(slope_SK) > 1), np.sign(b_SK))
    inactive_SK = sign_SK == 0
    any_inactive = inactive_SK.any()
    system_SKK, pull_SK = curvature_SKK, slope_SK + sign_SK
    if any_inactive:
        system_SKK = np.where(inactive_SK[:, :, None] | inactive_SK[:, None], np.eye(b_SK.shape[1]), curvature_SKK)
        pull_SK = np.where(inactive_SK, 0, pull_SK)
    try:
        d_SK = -np.linalg.solve(system_SKK, pull_SK[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        d_SK = np.full(b_SK.shape, np.nan)
    right_SK = sign_SK * (b_SK + d_SK) > 0
    if any_inactive:
        right_SK |= inactive_SK & (np.abs(slope_SK + (curvature_SKK @ d_SK[:, :, None])[:, :, 0]) <= 1)
    if not right_SK.all():
        for s in np.flatnonzero(~right_SK.all(axis=1)):
            d_SK[s] = _step_by_feature(slope_SK[s].tolist(), curvature_SKK[s].tolist(), b_SK[s].tolist())
    return d_SK


def _step_by_feature(slope: list[float], curvature: list[list[float]], b: list[float]) -> list[float]:
    """The same in any case, a feature at a time until none moves; in plain floats, which are faster for three."""
    features = range(len(b))
    floor = 1e-12 * max(1.0, *(curvature[j][j] for j in features))  # where every label is sure, F is nearly flat
    d = [0.0 for _ in features]
    pull = slope[:]  # the gradient of the quadratic model at d
    for _ in range(_MOST_SWEEPS):
        moved = 0.0
        for j in features:
            h = curvature[j][j] + floor
            target = h * (b[j] + d[j]) - pull[j]
            new = (target - 1 if target > 1 else target + 1 if target < -1 else 0.0) / h - b[j]
            change = new - d[j]
            d[j] = new
            for i in features:
                pull[i] += curvature[j][i] * change
            moved = max(moved, abs(change) * h**0.5)
        if moved <= 1e-12:
            break
    return d
