"""Drafting with the multi-token prediction module: its block over a latent cache of its own.

Position i is fed the trunk's state h_i and the token t_{i+1} and predicts t_{i+2} (mtp.py), so this cache is one token
shorter than the trunk's. Shape suffixes as in decode_deepseek_v3.py.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from afterbase.model.decoding.decode_deepseek_v3 import LatentDecoder, LatentLayers
from afterbase.model.decoding.feed_forward import norm_of, rms_norm
from afterbase.model.decoding.latent_cache import LatentCache
from afterbase.model.mtp import MtpModule


class MtpDecoder:
    """Prefill and steps of an MTP module beside its trunk's decoder; call `refresh` after a weight update."""

    def __init__(self, mtp: MtpModule, trunk: LatentDecoder) -> None:
        self._mtp = mtp
        self._trunk = trunk
        model = trunk.model
        self._layers = LatentLayers(model.config, [mtp.block], mtp.norm, model.model.rotary_emb)
        self.hidden_size: int = model.config.hidden_size
        self.trunk_layers: int = model.config.num_hidden_layers
        self.new_cache = self._layers.new_cache
        self.refresh()

    @torch.inference_mode()
    def refresh(self) -> None:
        """Take the modules' present weights."""
        self._layers.refresh()
        self._norms = norm_of(self._mtp.enorm), norm_of(self._mtp.hnorm)
        self._projection = self._mtp.eh_proj.weight

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]], hidden_MX: Tensor) -> list[Tensor]:
        """Each prompt's latents_LWD but for its last position, whose next token is still to come.

        `hidden_MX`: the trunk's states of all the prompts' tokens, one prompt after another.
        """
        next_M = torch.tensor([token for prompt in prompts for token in (*prompt[1:], prompt[-1])])
        latents, _ = self._layers.read(self._join(next_M, hidden_MX), [len(prompt) for prompt in prompts])
        return [latents_LWD[:, :-1] for latents_LWD in latents]

    @torch.inference_mode()
    def feed(self, next_M: Tensor, hidden_MX: Tensor, cache: LatentCache, asked_N: np.ndarray) -> Tensor:
        """The next positions of every row, equally many and row by row; logits_NV of the token after next at the one
        that `asked_N` names of each row."""
        states = self._layers.feed(self._join(next_M, hidden_MX), cache, asked_N)
        return self._trunk.logits(states.hidden_MX)

    def _join(self, next_M: Tensor, hidden_MX: Tensor) -> Tensor:
        of_embedding, of_hidden = self._norms
        parts = rms_norm(self._trunk.embed(next_M), of_embedding), rms_norm(hidden_MX, of_hidden)
        return F.linear(torch.cat(parts, -1), self._projection)
