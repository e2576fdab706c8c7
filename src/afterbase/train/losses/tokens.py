"""Log-probabilities of given tokens under softmax(logits / T), computed in chunks of positions, in backward too.

What one chunk needs is made again when its gradient is asked for, so that never more than one chunk's logits exist.

Notation: N positions, H hidden, V vocabulary.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

_CHUNK_BYTES = 128 << 20  # of logits that exist at once: enough rows to keep the matrix product fast


def token_logps(hidden_NH: Tensor, head_VH: Tensor, targets_N: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Log-probability (N,) of each target under the policy softmax(logits / temperature)."""
    rows = max(1, _CHUNK_BYTES // (head_VH.shape[0] * hidden_NH.element_size()))
    if len(targets_N) <= rows:
        return _logps(hidden_NH, head_VH, targets_N, temperature)
    parts = [
        checkpoint(_logps, h, head_VH, t, temperature, use_reentrant=False)
        for h, t in zip(hidden_NH.split(rows), targets_N.split(rows), strict=True)
    ]
    return torch.cat(parts)


def _logps(hidden_NH: Tensor, head_VH: Tensor, targets_N: Tensor, temperature: float) -> Tensor:
    return -F.cross_entropy(F.linear(hidden_NH, head_VH) / temperature, targets_N, reduction="none")
