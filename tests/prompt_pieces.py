"""What every decoder promises: a prompt that is read in pieces gives what it gives whole, up to rounding."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch


def expect_the_same_in_pieces(decoder: Any, prompt: list[int], ends: Sequence[int]) -> None:
    """Keys and values, and the log-probabilities of all positions; each piece ends at one of `ends`."""
    [whole_LWD], states = decoder.read([prompt])
    cached_LWD = torch.zeros_like(whole_LWD)
    [cached_LWD[:, : ends[0]]], first = decoder.read([prompt[: ends[0]]])
    hidden = [first.hidden_MX]
    for start, end in itertools.pairwise(ends):
        hidden.append(decoder.read_on(prompt[start:end], cached_LWD, start).hidden_MX)
    torch.testing.assert_close(cached_LWD, whole_LWD, atol=1e-5, rtol=0)
    ours, theirs = (decoder.logits(x).log_softmax(-1) for x in (torch.cat(hidden), states.hidden_MX))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
