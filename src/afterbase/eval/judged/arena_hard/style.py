"""Arena-Hard's scores at equal style: Bradley-Terry with how long and how marked-up the two answers are.

Each battle has four features, of tokens, headers, list items and bold spans of the model's answer (a) and the
baseline's (b), standardised over all battles:

    0.1   (a - b) / (a + b + 1) for each                                      (utils_math.py at efc012e)
    2.0   (a - b) / (a + b) for tokens; the same of densities count / (tokens + 1), with + 1 below    (at 196f6b8)

The score is the model's chance where all are average. Version 2.0 maximises the likelihood, with L-BFGS that stops
early; here it is the maximum itself, which for a model that won or lost everything is at 100 or 0. Version 0.1 keeps
scikit-learn's default L2 penalty of 1 on every coefficient, the baseline's too, in units of log 10, with each battle
counted twice.
"""

import numpy as np

from afterbase.core.errors import UserError
from afterbase.eval.judged.alpaca_eval.l1_logistic import sigmoid
from afterbase.eval.judged.arena_hard.grouped_logistic import Design, Fit, fit
from afterbase.eval.judged.arena_hard.score import Battles, Score, Version, draws, intervals


def score(battles: Battles, own_B4: np.ndarray, baseline_B4: np.ndarray, version: Version) -> dict[str, Score]:
    """Each model's style-controlled score and interval, of counts in the order tokens, headers, list items, bold.

    UserError if style and model cannot be separated.
    """
    z_B4 = features(own_B4, baseline_B4, version)
    # Battles on one question with one model share their features: they are one row of the fit.
    pair_B = battles.question_B * len(battles.models) + battles.model_B
    _, first_R, row_B = np.unique(pair_B, return_index=True, return_inverse=True)
    design = _design(battles.model_B[first_R], z_B4[first_R], len(battles.models), version)

    def shares(chosen: np.ndarray, start: Fit | None) -> tuple[np.ndarray, Fit]:
        won_R = np.bincount(row_B[chosen], battles.outcome_B[chosen], len(first_R))
        return _shares(design, won_R, np.bincount(row_B[chosen], minlength=len(first_R)), version, start)

    try:
        share_M, whole = shares(np.arange(len(row_B)), None)
        share_DM = np.stack([shares(draw, whole)[0] for draw in draws(len(row_B), version)])
    except ArithmeticError as error:
        raise UserError(
            "style control needs battles that style does not decide",
            got=f"{len(row_B)} battles of {', '.join(battles.models)}: {error}",
            remedy="leave --style out, or judge more",
        ) from error
    return intervals(battles, share_M, share_DM, version)


def features(own_B4: np.ndarray, baseline_B4: np.ndarray, version: Version) -> np.ndarray:
    """(B, 4) standardised differences of style; a feature that never differs is 0."""
    if version == "0.1":
        f_B4 = (own_B4 - baseline_B4) / (own_B4 + baseline_B4 + 1)
    else:
        (own_t, own_m), (base_t, base_m) = ((counts[:, :1], counts[:, 1:]) for counts in (own_B4, baseline_B4))
        own_d, base_d = own_m / (own_t + 1), base_m / (base_t + 1)
        tokens = (own_t - base_t) / np.maximum(own_t + base_t, 1)
        f_B4 = np.concatenate([tokens, (own_d - base_d) / (own_d + base_d + 1)], axis=1)
    spread_4 = f_B4.std(axis=0, ddof=0 if version == "0.1" else 1) if len(f_B4) > 1 else np.zeros(4)
    flat_4 = np.ptp(f_B4, axis=0) == 0
    return np.where(flat_4, 0.0, (f_B4 - f_B4.mean(axis=0)) / np.where(flat_4, 1.0, spread_4))


def _design(model_R: np.ndarray, z_R4: np.ndarray, models: int, version: Version) -> Design:
    if version == "2.0":
        return Design(group_R=model_R, x_RS=z_R4, groups=models, ridge_S=np.zeros(4))
    # The penalty makes the baseline's strength count: it is a shared coefficient, subtracted everywhere.
    x_R5 = np.column_stack([np.full(len(z_R4), -1.0), z_R4])
    per_log_10 = np.log(10) ** -2
    ridge_5 = np.array([per_log_10, 1, 1, 1, 1])
    return Design(group_R=model_R, x_RS=x_R5, groups=models, ridge_u=per_log_10, ridge_S=ridge_5)


def _shares(
    design: Design, won_R: np.ndarray, total_R: np.ndarray, version: Version, start: Fit | None
) -> tuple[np.ndarray, Fit]:
    """(M,) each model's chance at average style, NaN without a battle, and the fit."""
    won_M, total_M = (np.bincount(design.group_R, values, design.groups) for values in (won_R, total_R))
    mean_M = np.divide(won_M, total_M, out=np.full(design.groups, np.nan), where=total_M > 0)
    if version == "0.1":
        found = fit(design, 2 * won_R, 2 * total_R, start)
        return np.where(total_M > 0, sigmoid(found.u_G - found.b_S[0]), np.nan), found
    # The likelihood of a model that won or lost everything grows without end, whatever its style.
    open_M = (mean_M > 0) & (mean_M < 1)
    kept_R = open_M[design.group_R]
    found = fit(design, won_R * kept_R, total_R * kept_R, start)
    return np.where(open_M, sigmoid(found.u_G), mean_M), found
