"""Lossless speculative decoding: the multi-token prediction module drafts one token, the trunk verifies it.

A token is the inverse of a distribution function at a uniform that belongs to its position (sampler.py). The draft is
the module's inverse at the same uniform, and is accepted if and only if the trunk's own inverse gives that token, so
that answers are those of plain decoding, token for token, whatever the module says. What is accepted is the coupling of
the two distributions under a common uniform (greedily: whether their best tokens agree), somewhat less than the sum of
min(p, q) of speculative sampling (arXiv 2211.17192), whose tokens depend on the draft. Exact up to rounding: products
with two tokens a row may differ from those with one in the last digit.

Whether to draft is a rule of the rows and of the acceptance so far, and asks no clock: the last digits of
log-probabilities depend on how many tokens share a step, and an artifact repeats bit for bit.

Shape suffixes as in decode.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from afterbase.model.decode_mtp import MtpDecoder

# A step of few tokens takes as long as this many would, were there only arithmetic (dispatch, and reading the weights).
# Measured with benchmarks/speculative.py.
IDLE_TOKENS = 16.0
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
    """Tokens a second with drafts over those without, for a trunk of `layers` layers and a module of one."""
    plain = layers * (IDLE_TOKENS + rows)
    drafting = (layers + 1) * (IDLE_TOKENS + 2 * rows)
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

    def __init__(self, decoder: MtpDecoder, *, rows: int, prompt_width: int, new_tokens: int) -> None:
        self._decoder = decoder
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
        for offset in range(hidden_NTX.shape[1]):
            self._hidden_NWX[np.arange(len(column_N)), column_N + 1 + offset] = hidden_NTX[:, offset]

    def count(self, *, drafted: int, accepted: int) -> None:
        """A step is over; `drafted` is 0 if it was a plain one."""
        self._counts += (drafted, accepted, drafted > 0, drafted == 0)
        self._acceptance += (accepted - drafted * self._acceptance) / max(WINDOW, drafted)

    def logits(self, tokens_NW: np.ndarray, length_N: np.ndarray) -> Tensor:
        """Draft logits_NV of the token that follows each row's `length_N` tokens."""
        while (most := int((length_N - self._cache.lengths).max())) > 2:
            self._feed(tokens_NW, np.minimum(length_N - self._cache.lengths - 1, CATCH_UP), min(most - 1, CATCH_UP))
        behind_N = length_N - self._cache.lengths
        states_NTX = self._feed(tokens_NW, behind_N, most)
        return self._decoder.logits(states_NTX[torch.arange(len(behind_N)), torch.from_numpy(behind_N - 1)])

    def _feed(self, tokens_NW: np.ndarray, count_N: np.ndarray, most: int) -> Tensor:
        """Read the next `count_N` positions of each row; what pads these to `most` is overwritten later."""
        slot_NT = self._cache.lengths[:, None] + np.minimum(np.arange(most), np.maximum(count_N[:, None] - 1, 0))
        row_N1 = np.arange(len(count_N))[:, None]
        next_M = torch.from_numpy(tokens_NW[row_N1, slot_NT].reshape(-1))
        hidden_MX = torch.from_numpy(self._hidden_NWX[row_N1, slot_NT].reshape(len(next_M), -1))
        states_MX = self._decoder.feed(next_M, hidden_MX, self._cache)
        self._cache.forget(most - count_N)
        return states_MX.view(len(count_N), most, -1)
