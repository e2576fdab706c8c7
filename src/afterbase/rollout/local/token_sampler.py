"""From logits to tokens: temperature, one uniform number a token, the inverse of the distribution function.

The uniforms of a sample come from a counter-based generator (Philox4x64; Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", SC 2011) keyed by a hash of (seed, prompt, sample index), so they depend neither on the batch a sample
ran in nor on what ran before it. Top-p tells which tokens it kept, without which it would bias the policy-gradient
ratio; there is no top-k.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def uniforms(*, seed: int, prompt: Sequence[int], sample: int, count: int) -> np.ndarray:
    """The first `count` draws of a sample, float64 in (0, 1]; a longer request starts with the same numbers."""
    text = f"{seed}|{sample}|{','.join(map(str, prompt))}"
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return 1.0 - np.random.Generator(np.random.Philox(key=key)).random(count)


def sample(logits_NV: Tensor, uniforms_N: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """One token and its natural log-probability a row, under softmax(logits / temperature).

    `uniforms_N` is float64 in (0, 1].
    """
    probability_NV = _softmax(logits_NV, temperature)
    token_N1 = _draw(probability_NV, uniforms_N)
    return token_N1[:, 0], probability_NV.gather(1, token_N1)[:, 0].log()


def sample_top_p(
    logits_NV: Tensor, uniforms_N: Tensor, *, temperature: float, top_p: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `sample`, from the smallest set of most probable tokens whose mass reaches `top_p`, and that set, bool (N, V).

    Probabilities are shares of the set's mass. Of equally probable tokens those with lower ids come first.
    """
    probability_NV = _softmax(logits_NV, temperature)
    falling_NV, order_NV = probability_NV.sort(dim=-1, descending=True, stable=True)
    before_NV = F.pad(falling_NV.cumsum(dim=-1, dtype=torch.float64)[:, :-1], (1, 0))
    kept_NV = torch.zeros_like(order_NV, dtype=torch.bool).scatter_(1, order_NV, before_NV < top_p)
    mass_NV = probability_NV.masked_fill_(~kept_NV, 0.0)
    token_N1 = _draw(mass_NV, uniforms_N)
    logp_N1 = (mass_NV.gather(1, token_N1) / mass_NV.sum(dim=-1, keepdim=True)).log()
    return token_N1[:, 0], logp_N1[:, 0], kept_NV


def _softmax(logits_NV: Tensor, temperature: float) -> Tensor:
    # At temperature 1 a pass over a large vocabulary less.
    return torch.softmax(logits_NV if temperature == 1.0 else logits_NV / temperature, dim=-1)


def _draw(mass_NV: Tensor, uniforms_N: Tensor) -> Tensor:
    """Token_N1 by the inverse of the distribution function of any mass.

    It is taken in two levels, blocks of sqrt(V) tokens and then the tokens of one block, which spares a cumulative sum
    over the vocabulary.
    """
    vocabulary = mass_NV.shape[1]
    size = math.isqrt(vocabulary)
    padding = mass_NV.new_zeros(len(mass_NV), -vocabulary % size)  # F.pad would first fill the whole
    blocks_NBS = torch.cat((mass_NV, padding), dim=1).unflatten(1, (-1, size))
    block_N1, share_N1 = _invert(blocks_NBS.sum(dim=2), uniforms_N[:, None])
    inside_NS = blocks_NBS.gather(1, block_N1[:, :, None].expand(-1, -1, size))[:, 0]
    return block_N1 * size + _invert(inside_NS, share_N1)[0]


def _invert(mass_NS: Tensor, share_N1: Tensor) -> tuple[Tensor, Tensor]:
    """The first entry whose cumulative mass reaches `share` of the total, and the share of that entry's mass used.

    Shares are in (0, 1], and so are those returned: no rounding can run past the end or choose an entry of mass zero.
    """
    cumulative_NS = mass_NS.cumsum(dim=-1, dtype=torch.float64)
    target_N1 = share_N1 * cumulative_NS[:, -1:]
    chosen_N1 = torch.searchsorted(cumulative_NS, target_N1)
    before_N1 = F.pad(cumulative_NS, (1, 0)).gather(1, chosen_N1)
    return chosen_N1, (target_N1 - before_N1) / (cumulative_NS.gather(1, chosen_N1) - before_N1)


def greedy(logits_NV: Tensor) -> tuple[Tensor, Tensor]:
    """The most probable token a row (the first of equals), with its natural log-probability at temperature 1."""
    # NumPy's argmax is vectorised on the CPU; torch's took 20 times as long here.
    token_N = torch.from_numpy(logits_NV.numpy().argmax(axis=-1))
    return token_N, logits_NV.gather(1, token_N[:, None])[:, 0] - logits_NV.logsumexp(dim=-1)
