"""Logistic regression on soft labels under an L1 penalty, solved to the optimum: AlpacaEval's length-controlled model.

    F(b) = |b|_1 + C sum_i w_i [ log(1 + exp(x_i.b)) - y_i x_i.b ]                              (no intercept)

Proximal Newton: each step minimises the quadratic model of the smooth part plus |b|_1 (by coordinate descent, exact for
a few features), and a backtracking line search on F makes it converge from anywhere (Lee, Sun and Saunders 2014, arXiv
1206.1623). A soft label y weighs as two rows, label 1 at w y and label 0 at w (1 - y).

liblinear minimises the same F, to a tolerance that leaves the third digit of b open.

N rows, K features (few), P = K (K + 1) / 2 pairs of features.
"""

from dataclasses import dataclass

import numpy as np

_TOLERANCE = 1e-11  # of a subgradient, relative to what all rows could add to it
_MOST_STEPS, _MOST_SWEEPS, _MOST_HALVINGS = 200, 1000, 60


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Features (N, K), soft labels in [0, 1] and weights >= 0; a weight of 0 leaves a row out."""

    x_NK: np.ndarray
    y_N: np.ndarray
    w_N: np.ndarray

    def weighted(self, w_N: np.ndarray) -> "Rows":
        """The same rows under other weights."""
        return Rows(x_NK=self.x_NK, y_N=self.y_N, w_N=w_N)


def loss(z_N: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """(N,) log(1 + exp(z)) - y z, the cross entropy of the label y under the logit z, without overflow."""
    return np.maximum(z_N, 0) + np.log1p(np.exp(-np.abs(z_N))) - y_N * z_N


def sigmoid(z_N: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), without overflow."""
    tail = np.exp(-np.abs(z_N))
    return np.where(z_N >= 0, 1, tail) / (1 + tail)


def fit(rows: Rows, C: float, start_K: np.ndarray | None = None) -> np.ndarray:
    """(K,) the minimiser of F, started at b = 0 by default. ArithmeticError if it is not reached: F is convex."""
    x_NK, y_N, cw_N = rows.x_NK, rows.y_N, C * rows.w_N
    k = x_NK.shape[1]
    upper = np.triu_indices(k)
    pairs_PN = np.ascontiguousarray((x_NK[:, upper[0]] * x_NK[:, upper[1]]).T)
    tolerance = _TOLERANCE * max(1.0, float((cw_N @ np.abs(x_NK)).max()))
    b_K = np.zeros(k) if start_K is None else start_K.astype(float)

    z_N = x_NK @ b_K
    value = _value(z_N, y_N, cw_N, b_K)
    for _ in range(_MOST_STEPS):
        p_N = sigmoid(z_N)
        slope_K = (cw_N * (p_N - y_N)) @ x_NK
        if _violation(slope_K, b_K) <= tolerance:
            return b_K
        curvature_KK = np.zeros((k, k))
        curvature_KK[upper] = curvature_KK.T[upper] = pairs_PN @ (cw_N * p_N * (1 - p_N))
        step_K = _prox_step(slope_K, curvature_KK, b_K)
        promised = float(slope_K @ step_K + np.abs(b_K + step_K).sum() - np.abs(b_K).sum())
        if promised > -1e-14 * abs(value):  # too little to see in F, where a whole step does not need to be checked
            return b_K + step_K
        length = 1.0
        for _ in range(_MOST_HALVINGS):
            new_K = b_K + length * step_K
            z_N = x_NK @ new_K
            new = _value(z_N, y_N, cw_N, new_K)
            if new <= value + 1e-4 * length * promised + 1e-15 * abs(value):
                break
            length /= 2
        b_K, value = new_K, new
    raise ArithmeticError(f"no optimum after {_MOST_STEPS} steps: b = {b_K}, C = {C}")


def _value(z_N: np.ndarray, y_N: np.ndarray, cw_N: np.ndarray, b_K: np.ndarray) -> float:
    return float(cw_N @ loss(z_N, y_N) + np.abs(b_K).sum())


def _violation(slope_K: np.ndarray, b_K: np.ndarray) -> float:
    """The largest part of the subgradient of F that is not zero: at the optimum there is none."""
    at_zero = np.maximum(np.abs(slope_K) - 1, 0)
    return float(np.where(b_K == 0, at_zero, np.abs(slope_K + np.sign(b_K))).max())


def _prox_step(slope_K: np.ndarray, curvature_KK: np.ndarray, b_K: np.ndarray) -> np.ndarray:
    """The d that minimises slope.d + d.curvature.d / 2 + |b + d|_1, a feature at a time until none moves."""
    slope, curvature, b = slope_K.tolist(), curvature_KK.tolist(), b_K.tolist()  # plain floats: K is about 3
    k = len(b)
    floor = 1e-12 * max(1.0, max(curvature[j][j] for j in range(k)))  # where every label is sure, F is nearly flat
    d = [0.0] * k
    for _ in range(_MOST_SWEEPS):
        moved = 0.0
        for j in range(k):
            h = curvature[j][j] + floor
            # The gradient of the quadratic in d_j without its own share; then soft thresholding of b_j + d_j.
            g = slope[j] + sum(curvature[j][i] * d[i] for i in range(k)) - curvature[j][j] * d[j] - h * b[j]
            new = (-g - 1 if g < -1 else -g + 1 if g > 1 else 0.0) / h - b[j]
            moved = max(moved, abs(new - d[j]) * h**0.5)
            d[j] = new
        if moved <= 1e-13:
            break
    return np.array(d)
