"""Bradley-Terry: the probability that the chosen answer beats the rejected one is sigmoid(score difference)."""

from torch import Tensor
from torch.nn import functional as F


def bradley_terry_loss(chosen_N: Tensor, rejected_N: Tensor) -> Tensor:
    """-log sigmoid(s_chosen - s_rejected), summed over N pairs."""
    return -F.logsigmoid(chosen_N - rejected_N).sum()
