"""Reading prompts before their rows run: several in one pass, or a long one piece by piece.

Shape suffixes as in `decoder.py`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from afterbase.model.decoding.decoder import Decoder
from afterbase.rollout.local.recorded_routing import Routing
from afterbase.rollout.local.speculative import Drafts, Opening

CHUNK_TOKENS = 256  # of a long prompt, between two steps of those who run

_keys = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Prefilled:
    """What is cached of some tokens, and the logits after them; rows of the same `key` share the former."""

    cached_LWD: Tensor
    logits_V: Tensor
    opening: Opening | None = None
    routed: np.ndarray | None = None
    key: int = field(default_factory=lambda: next(_keys))

    @property
    def finite(self) -> bool:
        return bool(torch.isfinite(self.cached_LWD.sum()) and torch.isfinite(self.logits_V.sum()))


def prefill(
    decoder: Decoder, prompts: Sequence[Sequence[int]], *, drafts: Drafts | None = None, routing: Routing | None = None
) -> list[Prefilled]:
    """Read prompts in one pass."""
    lengths = [len(prompt) for prompt in prompts]
    cached, states = decoder.read(prompts)
    logits_PV = decoder.logits(states.hidden_MX[torch.tensor(lengths).cumsum(0) - 1])
    openings = None if drafts is None else drafts.read(prompts, states.hidden_MX)
    routed = None if routing is None else routing.read(lengths, states.experts)
    return [
        Prefilled(
            cached_LWD=cached[index],
            logits_V=logits_PV[index],
            opening=None if openings is None else openings[index],
            routed=None if routed is None else routed[index],
        )
        for index in range(len(prompts))
    ]


class ChunkedPrefill:
    """One prompt, read `size` tokens at a time, so that others can have a step in between.

    The same chunks give the same numbers; those of `prefill` are equal up to rounding.
    """

    def __init__(self, decoder: Decoder, tokens: Sequence[int], size: int) -> None:
        self._decoder = decoder
        self._tokens = tokens
        self._size = size
        self._cached: Tensor | None = None
        self._done = 0

    def read_chunk(self) -> Prefilled | None:
        """Read on; what came of the whole after the last chunk, None before."""
        start, chunk = self._done, self._tokens[self._done : self._done + self._size]
        if self._cached is None:
            [cached_LMD], states = self._decoder.read([chunk])
            layers, _, width = cached_LMD.shape
            self._cached = torch.from_numpy(np.zeros((layers, len(self._tokens), width), dtype=np.float32))
            self._cached[:, : len(chunk)] = cached_LMD
        else:
            states = self._decoder.read_on(chunk, self._cached, start)
        self._done += len(chunk)
        if self._done < len(self._tokens):
            return None
        return Prefilled(cached_LWD=self._cached, logits_V=self._decoder.logits(states.hidden_MX[-1:])[0])
