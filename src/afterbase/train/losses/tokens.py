"""Log-probabilities of given tokens under softmax(logits / T), computed in chunks of positions.

Notation: N positions, H hidden, V vocabulary.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK = 4096  # positions at a time: bounds the memory of the (chunk, V) logits


def token_logps(hidden_NH: Tensor, head_VH: Tensor, targets_N: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Log-probability (N,) of each target under the policy softmax(logits / temperature)."""
    parts = [
        -F.cross_entropy(F.linear(h, head_VH) / temperature, t, reduction="none")
        for h, t in zip(hidden_NH.split(_CHUNK), targets_N.split(_CHUNK), strict=True)
    ]
    return torch.cat(parts)
