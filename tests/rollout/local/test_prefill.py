"""A prompt is read the same, up to rounding, at once, beside others, and in chunks."""

from dataclasses import replace

import pytest
import torch

from afterbase.model.decoding.decoder import decoder_for
from afterbase.rollout.local.prefill import ChunkedPrefill, Prefilled, prefill

PROMPT = tuple(range(20, 50))


@pytest.mark.parametrize("size", [1, 7, 30, 31])
@torch.inference_mode()
def test_chunks_make_up_the_whole(toy_lm, size):
    decoder = decoder_for(toy_lm.model, int8=False)
    chunked = ChunkedPrefill(decoder, PROMPT, size)
    chunks = [chunked.read_chunk() for _ in range(-(-len(PROMPT) // size))]
    assert chunks[:-1] == [None] * (len(chunks) - 1)
    last = chunks[-1]
    assert isinstance(last, Prefilled)
    beside, whole = prefill(decoder, [PROMPT[:4], PROMPT])
    torch.testing.assert_close(last.cached_LWD, whole.cached_LWD, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(last.logits_V, whole.logits_V, atol=1e-4, rtol=1e-4)
    assert len({last.key, beside.key, whole.key}) == 3


@torch.inference_mode()
def test_what_holds_no_number_says_so(toy_lm):
    [read] = prefill(decoder_for(toy_lm.model, int8=False), [PROMPT])
    assert read.finite
    assert not replace(read, logits_V=read.logits_V * torch.inf).finite
    assert not replace(read, cached_LWD=read.cached_LWD * torch.nan).finite
