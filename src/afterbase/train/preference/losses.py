"""Losses on preferences: Bradley-Terry for scores; DPO, its relatives and KTO for a policy.

Notation: N pairs or answers. A log-probability is that of a whole answer, summed over its tokens; where a loss takes
the mean over them, its docstring says so. Conventions are those of TRL 1.16, against which they are tested.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def bradley_terry_loss(chosen_N: Tensor, rejected_N: Tensor, margins_N: Tensor | float = 0.0) -> Tensor:
    """-log sigmoid(s_chosen - s_rejected - margin), summed over N pairs (margins: arXiv 2307.09288, eq. 2)."""
    return -F.logsigmoid(chosen_N - rejected_N - margins_N).sum()


def dpo_loss(margins_N: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """-(1 - e) log sigmoid(margin) - e log sigmoid(-margin), summed over N pairs (arXiv 2305.18290, eq. 7; section 3).

    A margin is the difference of the implicit rewards of the chosen and the rejected answer: beta log(pi / pi_ref) in
    DPO, beta log pi in CPO (arXiv 2401.08417, eq. 3), and in SimPO beta times the mean of log pi over the answer's
    tokens, minus gamma (arXiv 2405.14734, eq. 6). `smoothing`: the share of pairs whose order is wrong.
    """
    loss_N = -F.logsigmoid(margins_N)
    if smoothing:
        loss_N = (1 - smoothing) * loss_N - smoothing * F.logsigmoid(-margins_N)
    return loss_N.sum()


def ipo_loss(gains_N: Tensor, *, beta: float) -> Tensor:
    """(gain - 1 / (2 beta))^2, summed over N pairs (arXiv 2310.12036, eq. 17).

    A gain is the difference of log(pi / pi_ref), each a mean over the answer's tokens. The paper does not print the
    mean; TRL's authors had it confirmed by the paper's.
    """
    return (gains_N - 1 / (2 * beta)).square().sum()


def log_odds_ratio(chosen_N: Tensor, rejected_N: Tensor) -> Tensor:
    """log(odds(chosen) / odds(rejected)) with odds p / (1 - p), of means of log p over an answer's tokens.

    ORPO (arXiv 2403.07691, eq. 4); its loss is -beta log sigmoid of this, beside the likelihood of the chosen answer.
    """
    return chosen_N - rejected_N - (_log_one_minus_exp(chosen_N) - _log_one_minus_exp(rejected_N))


def _log_one_minus_exp(x_N: Tensor) -> Tensor:
    """log(1 - e^x) of x < 0 without cancellation (Maechler, "Accurately computing log(1 - exp(-|a|))", 2012)."""
    x_N = x_N.clamp(max=-torch.finfo(x_N.dtype).tiny)
    large = x_N > -0.6931471805599453
    # Of the branch that is not taken the gradient must be finite too.
    near, far = x_N.where(large, -0.5), x_N.where(~large, -1.0)
    return torch.where(large, (-torch.expm1(near)).log(), torch.log1p(-far.exp()))


def kto_loss(gains_N: Tensor, desirable_N: Tensor, weights_N: Tensor, kl: float, *, beta: float) -> Tensor:
    """w (1 - v), summed over N answers (arXiv 2402.01306, eq. 8); gains_N = log(pi / pi_ref).

    v = sigmoid(beta (gain - kl)) of a desirable answer, sigmoid(beta (kl - gain)) of another. `kl` is a constant of
    the step, see `kto_kl`.
    """
    margins = gains_N - kl
    return (weights_N * (1 - (beta * margins.where(desirable_N, -margins)).sigmoid())).sum()


def kto_kl(gains: float, count: int) -> float:
    """The reference point: mean of log(pi / pi_ref), summed over `count` answers under other prompts; at least 0."""
    return max(0.0, gains / count)
