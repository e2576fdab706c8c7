"""Losses on preferences: Bradley-Terry for scores, DPO and KTO for a policy against its reference.

Notation: N pairs or answers; a log-probability is that of a whole answer, summed over its tokens.
"""

from torch import Tensor
from torch.nn import functional as F


def bradley_terry_loss(chosen_N: Tensor, rejected_N: Tensor, margins_N: Tensor | float = 0.0) -> Tensor:
    """-log sigmoid(s_chosen - s_rejected - margin), summed over N pairs (margins: arXiv 2307.09288, eq. 2)."""
    return -F.logsigmoid(chosen_N - rejected_N - margins_N).sum()


def dpo_loss(margins_N: Tensor) -> Tensor:
    """-log sigmoid(margin), summed over N pairs (arXiv 2305.18290, eq. 7).

    A margin is the difference of the implicit rewards beta log(pi / pi_ref) of the chosen and the rejected answer.
    """
    return -F.logsigmoid(margins_N).sum()


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
