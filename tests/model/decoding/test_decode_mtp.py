"""The MTP module's decoder against its forward over whole sequences."""

import numpy as np
import torch

from afterbase.model.attention import Segments
from afterbase.model.decoding.decode_deepseek_v3 import LatentDecoder
from afterbase.model.decoding.decode_mtp import MtpDecoder


def test_drafts_are_those_of_the_forward(toy_lm):
    """Rows that read one position more or less than others, of prompts down to a single token."""
    generator = torch.Generator().manual_seed(0)
    sequences = [torch.randint(400, (length + 6,), generator=generator).tolist() for length in (1, 4, 7)]
    with torch.no_grad():
        hidden = [toy_lm.hidden(torch.tensor(s), Segments.of([len(s)])) for s in sequences]
        drafts = [
            toy_lm.logits(toy_lm.mtp_hidden(torch.tensor(s), h, Segments.of([len(s)])))
            for s, h in zip(sequences, hidden, strict=True)
        ]
    prompts = [sequence[:-6] for sequence in sequences]
    decoder = MtpDecoder(toy_lm.mtp, LatentDecoder(toy_lm.model))
    latents = decoder.read(prompts, torch.cat([h[:-6] for h in hidden]))
    cache = decoder.new_cache(rows=3, prompt_width=7, own_width=8)
    for key, latents_LWD in enumerate(latents):
        assert latents_LWD.shape[1] == len(prompts[key]) - 1
        cache.add_rows(1, key=key, cached_LWD=latents_LWD)
    first = np.array([len(prompt) - 1 for prompt in prompts])
    for count, asked in ((1, [0, 0, 0]), (2, [1, 0, 1]), (2, [0, 1, 0])):
        next_M = torch.tensor([t for s, i in zip(sequences, first, strict=True) for t in s[i + 1 : i + 1 + count]])
        hidden_MX = torch.cat([h[i : i + count] for h, i in zip(hidden, first, strict=True)])
        logits = decoder.feed(next_M, hidden_MX, cache, np.array(asked))
        expected = torch.stack([d[i + k] for d, i, k in zip(drafts, first, asked, strict=True)])
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
        cache.forget(count - 1 - np.array(asked))
        first += np.array(asked) + 1
