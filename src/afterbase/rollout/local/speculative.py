"""Lossless speculative decoding: the multi-token prediction module drafts one token, the trunk verifies it.

A token is the inverse of a distribution function at a uniform that belongs to its position, see `token_sampler.py`. The
draft is the module's inverse at the same uniform, and is accepted if and only if the trunk's own inverse gives that
token, so that answers are those of plain decoding, token for token, whatever the module says. What is accepted is the
coupling of the two distributions under a common uniform (greedily: whether their best tokens agree), somewhat less than
the sum of min(p, q) of speculative sampling (arXiv 2211.17192), whose tokens depend on the draft. Exact up to rounding:
products with two tokens a row may differ from those with one in the last digit.

Whether to draft is a rule of the rows and of the acceptance so far, and asks no clock: the last digits of
log-probabilities depend on how many tokens share a step, and an artifact repeats bit for bit.

Shape suffixes as in decode_deepseek_v3.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from afterbase.model.decoding.decode_mtp import MtpDecoder
from afterbase.rollout.engine import Sampling
from afterbase.rollout.local.token_sampler import sample_top_p

# A step of n tokens takes as long as IDLE_TOKENS + n would, were there only arithmetic: calls, and reading the weights.
# A draft, with head and choice, takes as long as DRAFT_LAYERS layers. Fitted to tiny-v3 with 1 and 8 rows on a CPU.
IDLE_TOKENS = 24.0
DRAFT_LAYERS = 1.75
# Drafts over which acceptance is averaged; it starts at 1, so that a module is tried wherever it can help.
WINDOW = 64
# Positions of a row that are read at once where drafting begins after plain steps.
CATCH_UP = 32


@dataclass(frozen=True, kw_only=True)
class Speculation:
    """What drafting came to in one call: drafts made and accepted, steps with drafts and without."""

    drafted: int
    accepted: int
    steps: int
    plain_steps: int


def gain(*, rows: int, acceptance: float, layers: int) -> float:
    """Tokens a second with drafts over those without, for a trunk of `layers` layers."""
    plain = layers * (IDLE_TOKENS + rows)
    drafting = (layers + DRAFT_LAYERS) * (IDLE_TOKENS + 2 * rows)
    return (1 + acceptance) * plain / drafting


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a prompt leaves for its rows' first drafts: the module's latents, and the trunk's last state."""

    latents_LWD: Tensor
    hidden_X: Tensor


class Drafts:
    """The drafting side of a batch: the module's cache, and the trunk's states that it has still to read.

    Own position k of a row pairs the trunk's state before its answer's token k with that token.
    """

    def __init__(self, decoder: MtpDecoder, *, rows: int, prompt_width: int, sampling: Sampling) -> None:
        self._decoder = decoder
        self._sampling = sampling
        new_tokens = sampling.max_new_tokens
        self._cache = decoder.new_cache(rows=rows, prompt_width=prompt_width, own_width=new_tokens + CATCH_UP)
        self._hidden_NWX = np.empty((rows, new_tokens + 1, decoder.hidden_size), dtype=np.float32)
        self._acceptance = 1.0
        self._counts = np.zeros(4, dtype=np.int64)

    @property
    def report(self) -> Speculation:
        drafted, accepted, steps, plain_steps = self._counts.tolist()
        return Speculation(drafted=drafted, accepted=accepted, steps=steps, plain_steps=plain_steps)

    def worthwhile(self) -> bool:
        """Whether the next step is faster with drafts."""
        return gain(rows=self._cache.rows, acceptance=self._acceptance, layers=self._decoder.trunk_layers) > 1

    def read(self, prompts: Sequence[Sequence[int]], hidden_MX: Tensor) -> list[Opening]:
        """Read prompts of which the trunk's states are known, one prompt after another."""
        latents = self._decoder.read(prompts, hidden_MX)
        ends = np.cumsum([len(prompt) for prompt in prompts])
        return [Opening(latents_LWD=own, hidden_X=hidden_MX[end - 1]) for own, end in zip(latents, ends, strict=True)]

    def add_row(self, key: int, opening: Opening) -> None:
        self._hidden_NWX[self._cache.rows, 0] = opening.hidden_X.numpy()
        self._cache.add_rows(1, key=key, cached_LWD=opening.latents_LWD)

    def keep_rows(self, order: np.ndarray, *, width: int) -> None:
        """Row i becomes what row order[i] was, with answers of up to `width` tokens."""
        moved = np.flatnonzero(order != np.arange(len(order)))
        self._hidden_NWX[moved, :width] = self._hidden_NWX[order[moved], :width]
        self._cache.keep_rows(order)

    def saw(self, column_N: np.ndarray, hidden_MX: Tensor) -> None:
        """Take the trunk's states after each row's tokens from `column_N` on."""
        hidden_NTX = hidden_MX.numpy().reshape(len(column_N), -1, hidden_MX.shape[1])
        after_NT = column_N[:, None] + np.arange(1, hidden_NTX.shape[1] + 1)
        self._hidden_NWX[np.arange(len(column_N))[:, None], after_NT] = hidden_NTX

    def count(self, *, drafted: int, accepted: int) -> None:
        """A step is over; `drafted` is 0 if it was a plain one."""
        self._counts += (drafted, accepted, drafted > 0, drafted == 0)
        self._acceptance += (accepted - drafted * self._acceptance) / max(WINDOW, drafted)

    def propose(self, tokens_NW: np.ndarray, length_N: np.ndarray, uniforms_N: np.ndarray) -> np.ndarray:
        """A draft_N of the token that follows each row's first `length_N`, at the uniforms of its place."""
        logits_NV = self._logits(tokens_NW, length_N)
        if self._sampling.temperature == 0.0:
            return logits_NV.numpy().argmax(axis=-1)
        if self._sampling.keeps_part:
            drawn = torch.from_numpy(uniforms_N)
            temperature, top_p = self._sampling.temperature, self._sampling.top_p
            return sample_top_p(logits_NV, drawn, temperature=temperature, top_p=top_p)[0].numpy()
        # The sampler's inverse but for rounding, which is the trunk's affair, at a fraction of its calls.
        scaled_NV = logits_NV.numpy() / self._sampling.temperature
        cumulative_NV = np.exp(scaled_NV - scaled_NV.max(axis=-1, keepdims=True)).cumsum(axis=-1, dtype=np.float64)
        return (cumulative_NV < uniforms_N[:, None] * cumulative_NV[:, -1:]).sum(axis=-1)

    def _logits(self, tokens_NW: np.ndarray, length_N: np.ndarray) -> Tensor:
        while (most := int((length_N - self._cache.lengths).max())) > 2:
            self._feed(tokens_NW, np.minimum(length_N - self._cache.lengths - 1, CATCH_UP), min(most - 1, CATCH_UP))
        return self._feed(tokens_NW, length_N - self._cache.lengths, most)

    def _feed(self, tokens_NW: np.ndarray, count_N: np.ndarray, most: int) -> Tensor:
        """Read the next `count_N` positions of each row; what pads these to `most` is overwritten later."""
        last_N = np.maximum(count_N - 1, 0)
        slot_NT = self._cache.lengths[:, None] + np.minimum(np.arange(most), last_N[:, None])
        row_N1 = np.arange(len(count_N))[:, None]
        next_M = torch.from_numpy(tokens_NW[row_N1, slot_NT].reshape(-1))
        hidden_MX = torch.from_numpy(self._hidden_NWX[row_N1, slot_NT].reshape(len(next_M), -1))
        logits_NV = self._decoder.feed(next_M, hidden_MX, self._cache, last_N)
        self._cache.forget(most - count_N)
        return logits_NV
