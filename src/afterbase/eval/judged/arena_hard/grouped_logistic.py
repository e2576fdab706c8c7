"""Logistic regression with an intercept a group and a few shared coefficients: Bradley-Terry with style control.

    F(u, b) = sum_r [ n_r log(1 + exp(z_r)) - w_r z_r ] + ridge_u |u|^2 / 2 + ridge.b^2 / 2,   z_r = u_g(r) + x_r.b

where w_r of n_r battles were won in row r. Newton's method, in steps that move no z by more than 1 (see l1_logistic.py:
they always lower F). Between groups the Hessian is diagonal, so that a step costs as much as one with the shared
coefficients alone (their Schur complement).

R rows, G groups, S shared coefficients.
"""

from dataclasses import dataclass

import numpy as np

from afterbase.eval.judged.alpaca_eval.l1_logistic import sigmoid

_CLOSE = 1e-6  # the last step: the error after a step is about its square
# From a start as good as below, a minimum is a few steps away; without one, z moves by 1 in every step, for ever.
_MOST_STEPS = 30


@dataclass(frozen=True, kw_only=True)
class Design:
    """What bootstrap draws have in common: each row's group and shared features, and the ridges, 0 for none."""

    group_R: np.ndarray
    x_RS: np.ndarray
    groups: int
    ridge_S: np.ndarray
    ridge_u: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The intercepts (G,) and the shared coefficients (S,)."""

    u_G: np.ndarray
    b_S: np.ndarray


def fit(design: Design, won_R: np.ndarray, total_R: np.ndarray, start: Fit | None = None) -> Fit:
    """The minimiser of F. ArithmeticError if it has none, as where shared features decide every battle."""
    if start is None:
        won_G, total_G = _by_group(design, won_R), _by_group(design, total_R)
        log_odds_G = np.log((won_G + 0.5) / (total_G - won_G + 0.5))
        start = Fit(u_G=log_odds_G, b_S=np.zeros(design.x_RS.shape[1]))
    u, b = start.u_G, start.b_S
    z_R = u[design.group_R] + design.x_RS @ b
    for _ in range(_MOST_STEPS):
        p_R = sigmoid(z_R)
        off_R, curvature_R = total_R * p_R - won_R, total_R * p_R * (1 - p_R)
        slope_u = _by_group(design, off_R) + design.ridge_u * u
        slope_b = off_R @ design.x_RS + design.ridge_S * b
        step_u, step_b = _newton(design, curvature_R, slope_u, slope_b)
        change_R = step_u[design.group_R] + design.x_RS @ step_b
        furthest = float(np.abs(change_R).max())
        length = 1 / max(1.0, furthest)
        u, b, z_R = u - length * step_u, b - length * step_b, z_R - length * change_R
        if furthest <= _CLOSE:
            return Fit(u_G=u, b_S=b)
    raise ArithmeticError(f"no optimum within {_MOST_STEPS} steps")


def _by_group(design: Design, values_R: np.ndarray) -> np.ndarray:
    return np.bincount(design.group_R, values_R, design.groups)


def _newton(
    design: Design, curvature_R: np.ndarray, slope_u: np.ndarray, slope_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """H^-1 slope; a shared feature without any spread, whose row of H is 0, stays where it is."""
    own_G = np.maximum(_by_group(design, curvature_R) + design.ridge_u, 1e-300)
    weighted_RS = curvature_R[:, None] * design.x_RS
    cross_GS = np.stack([_by_group(design, column) for column in weighted_RS.T], axis=1)
    shared_SS = weighted_RS.T @ design.x_RS + np.diag(design.ridge_S)
    schur_SS = shared_SS - cross_GS.T @ (cross_GS / own_G[:, None])
    step_b = np.linalg.lstsq(schur_SS, slope_b - cross_GS.T @ (slope_u / own_G), rcond=1e-13)[0]
    return (slope_u - cross_GS @ step_b) / own_G, step_b
