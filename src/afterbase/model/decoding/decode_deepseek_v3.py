"""Inference for DeepSeek-V3 models on the CPU: packed prefill, and decoding over a cache of latents.

Multi-head latent attention runs absorbed (DeepSeek-V2 report, arXiv 2405.04434, section 2.1.2): a query is taken into
the latent space, attends to the cached latents themselves, and only the result is expanded to values. A cached token is
`kv_lora_rank` normalised latents plus one rotated rope key, in each layer.

Not covered: training, GPUs, other dtypes than float32.

Shape suffixes: N rows of the cache, T tokens a row in one step, M = N x T or the tokens of prompts, X hidden width,
L layers, H heads, C latent width, R rope width, D = C + R, P prompts, W cache width, V vocabulary, K experts a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3DecoderLayer

from afterbase.model.decoding.feed_forward import Norm, feed_forward_of, norm_of, rms_norm
from afterbase.model.decoding.latent_cache import Attend, LatentCache, Layout

# Queries of a prompt that attend in one product: bounds the memory of prefill.
QUERY_BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class _Attention:
    """One layer's attention with the projections merged: what the hidden state is multiplied by, in order."""

    norm: Norm
    down_weight: Tensor
    down_bias: Tensor | None
    query_norm: Norm | None
    query_weight: Tensor | None
    latent_norm: Norm
    value_HCv: Tensor
    output_weight: Tensor
    output_bias: Tensor | None


@dataclass(frozen=True, kw_only=True)
class States:
    """What the layers make of M tokens: their hidden_MX after the final norm, and the experts_MK of each MoE layer."""

    hidden_MX: Tensor
    experts: list[Tensor]


class LatentLayers:
    """A stack of layers and the norm after them, from embeddings to hidden states.

    Weights are taken out of the modules, which are slow to ask, and a few are merged: call `refresh` after an update.
    """

    def __init__(self, config: DeepseekV3Config, layers: Sequence[Any], norm: Any, rotary: Any) -> None:
        self.heads = config.num_attention_heads
        self.latent_dim = config.kv_lora_rank
        self.cached_dim = config.kv_lora_rank + config.qk_rope_head_dim
        self._layers: list[DeepseekV3DecoderLayer] = list(layers)
        self._norm = norm
        self._rotary = rotary
        self._rotation_WR = torch.empty(0, config.qk_rope_head_dim // 2, dtype=torch.complex64)
        self.refresh()

    @torch.inference_mode()
    def refresh(self) -> None:
        """Take the modules' present weights."""
        self._merged = [
            (
                self._merge(layer.self_attn, norm_of(layer.input_layernorm)),
                feed_forward_of(layer.mlp, norm_of(layer.post_attention_layernorm)),
            )
            for layer in self._layers
        ]
        self._last_norm = norm_of(self._norm)

    def new_cache(self, *, rows: int, prompt_width: int, own_width: int, longest: int | None = None) -> LatentCache:
        """An empty cache: `rows` rows, prompts of up to `prompt_width` tokens, `own_width` further tokens a row, and
        together no more than `longest`."""
        self._extend_rotation(longest or prompt_width + own_width)
        layout = Layout(
            layers=len(self._layers),
            heads=self.heads,
            shares=1,
            share_dim=self.cached_dim,
            key=slice(0, self.cached_dim),
            value=slice(0, self.latent_dim),
        )
        return LatentCache(layout, rows=rows, prompt_width=prompt_width, own_width=own_width)

    def read(self, x_MX: Tensor, lengths: list[int]) -> tuple[list[Tensor], States]:
        """Sequences from their start, one after another, that do not see each other: each one's latents_LWD, and the
        states of all."""
        self._extend_rotation(max(lengths))
        positions_M = torch.cat([torch.arange(length) for length in lengths])
        latents_LMD = torch.empty(len(self._layers), len(x_MX), self.cached_dim)

        def attend(layer: int, query_MHD: Tensor, latent_MD: Tensor) -> Tensor:
            latents_LMD[layer] = latent_MD
            pairs = zip(query_MHD.split(lengths), latent_MD.split(lengths), strict=True)
            return torch.cat([_causal_attention(q, latent, self.latent_dim) for q, latent in pairs])

        states = self._run(x_MX, positions_M, attend)
        return list(latents_LMD.split(lengths, dim=1)), states

    def read_on(self, x_MX: Tensor, latents_LWD: Tensor, start: int) -> States:
        """A sequence from `start` on, behind the latents that are there of it so far, which become more."""
        end = start + len(x_MX)
        self._extend_rotation(end)

        def attend(layer: int, query_MHD: Tensor, latent_MD: Tensor) -> Tensor:
            latents_LWD[layer, start:end] = latent_MD
            return _causal_attention(query_MHD, latents_LWD[layer, :end], self.latent_dim)

        return self._run(x_MX, torch.arange(start, end), attend)

    def feed(self, x_MX: Tensor, cache: LatentCache, asked_N: np.ndarray | None = None) -> States:
        """The next tokens of every row, equally many and row by row; the cache grows by them.

        With `asked_N`, an index among its tokens for each row, there are states of these alone; of the others a single
        layer needs no more than their latents.
        """
        count = x_MX.shape[0] // cache.rows
        if asked_N is None or count == 1:
            return self._run(x_MX, *cache.begin_step(count))
        assert len(self._layers) == 1
        asked_M = torch.from_numpy(np.arange(cache.rows) * count + asked_N)
        return self._run(x_MX, *cache.begin_step(count, asked_N), asked_M)

    def _extend_rotation(self, width: int) -> None:
        if len(self._rotation_WR) < width:
            cos, sin = self._rotary(torch.empty(0), torch.arange(2 * width)[None])
            half = self._rotation_WR.shape[1]
            self._rotation_WR = torch.complex(cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous())

    def _run(self, x: Tensor, positions_M: Tensor, attend: Attend, asked_M: Tensor | None = None) -> States:
        rotation_M1R = self._rotation_WR.index_select(0, positions_M)[:, None]
        experts = []
        for index, (attention, feed_forward) in enumerate(self._merged):
            change = self._attend(index, attention, x, rotation_M1R, attend, asked_M)
            x = (x if asked_M is None else x.index_select(0, asked_M)) + change
            out, experts_MK = feed_forward(x)
            x = x + out
            if experts_MK is not None:
                experts.append(experts_MK)
        return States(hidden_MX=rms_norm(x, self._last_norm), experts=experts)

    def _merge(self, attention: Any, norm: Norm) -> _Attention:
        nope, rope, rank = attention.qk_nope_head_dim, attention.qk_rope_head_dim, self.latent_dim
        up_HnC, value_HvC = attention.kv_b_proj.weight.view(self.heads, -1, rank).split([nope, attention.v_head_dim], 1)
        # Rope pairs as neighbours, so that a rotation is one complex product. The order of the dimensions does not
        # matter to a dot product, as long as queries and keys agree.
        halves = torch.arange(rope).view(2, -1).T.reshape(-1)
        pairs = torch.arange(rope) if attention.config.rope_interleave else halves
        query = attention.q_proj if attention.q_b_proj is None else attention.q_b_proj
        nope_Hnx, rope_HRx = query.weight.view(self.heads, nope + rope, -1).split([nope, rope], 1)
        query_weight = torch.cat((up_HnC.mT @ nope_Hnx, rope_HRx[:, pairs]), 1).flatten(0, 1) * attention.scaling
        key = attention.kv_a_proj_with_mqa
        key_order = torch.cat((torch.arange(rank), rank + pairs))
        low_rank = attention.q_a_proj is not None
        down_weight = torch.cat((attention.q_a_proj.weight if low_rank else query_weight, key.weight[key_order]))
        down_bias = None
        if key.bias is not None:
            query_bias = attention.q_a_proj.bias if low_rank else query_weight.new_zeros(query_weight.shape[0])
            down_bias = torch.cat((query_bias, key.bias[key_order]))
        return _Attention(
            norm=norm,
            down_weight=down_weight,
            down_bias=down_bias,
            query_norm=norm_of(attention.q_a_layernorm) if low_rank else None,
            query_weight=query_weight if low_rank else None,
            latent_norm=norm_of(attention.kv_a_layernorm),
            value_HCv=value_HvC.mT,
            output_weight=attention.o_proj.weight,
            output_bias=attention.o_proj.bias,
        )

    def _attend(
        self,
        index: int,
        weights: _Attention,
        x: Tensor,
        rotation_M1R: Tensor,
        attend: Attend,
        asked_M: Tensor | None,
    ) -> Tensor:
        down = F.linear(rms_norm(x, weights.norm), weights.down_weight, weights.down_bias)
        query, latent_MD = down.split_with_sizes([down.shape[1] - self.cached_dim, self.cached_dim], dim=1)
        latent_MD[:, : self.latent_dim] = rms_norm(latent_MD[:, : self.latent_dim], weights.latent_norm)
        self._rotate(latent_MD[:, None], rotation_M1R)
        if asked_M is not None:
            query, rotation_M1R = query.index_select(0, asked_M), rotation_M1R.index_select(0, asked_M)
        if weights.query_norm is not None and weights.query_weight is not None:
            query = F.linear(rms_norm(query, weights.query_norm), weights.query_weight)
        query_MHD = query.view(query.shape[0], self.heads, self.cached_dim)
        self._rotate(query_MHD, rotation_M1R)
        attended_HMC = attend(index, query_MHD, latent_MD).transpose(0, 1)
        value = torch.bmm(attended_HMC, weights.value_HCv).transpose(0, 1).flatten(1)
        return F.linear(value, weights.output_weight, weights.output_bias)

    def _rotate(self, x: Tensor, rotation_M1R: Tensor) -> None:
        torch.view_as_complex(x[..., self.latent_dim :].unflatten(-1, (-1, 2))).mul_(rotation_M1R)


class LatentDecoder:
    """Prefill and decode steps that give the logits of `model(input_ids)`; call `refresh` after a weight update.

    In float32 only; `decoder_for` refuses other weights.
    """

    longest: int | None = None

    def __init__(self, model: DeepseekV3ForCausalLM) -> None:
        self.model = model
        trunk = model.model
        layers = trunk.layers
        self._layers = LatentLayers(model.config, layers, trunk.norm, trunk.rotary_emb)  # type: ignore[arg-type]  # a ModuleList
        self.new_cache = self._layers.new_cache
        self.refresh()

    @torch.inference_mode()
    def refresh(self) -> None:
        """Take the model's present weights."""
        self._layers.refresh()
        self._embedding, self._head = self.model.model.embed_tokens.weight, self.model.lm_head.weight

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[list[Tensor], States]:
        """Prompts that do not see each other: each one's latents_LWD, and the states of all their tokens."""
        tokens_M = torch.tensor([token for prompt in prompts for token in prompt])
        return self._layers.read(self.embed(tokens_M), [len(prompt) for prompt in prompts])

    @torch.inference_mode()
    def read_on(self, tokens: Sequence[int], cached_LWD: Tensor, start: int) -> States:
        """A prompt's tokens from `start` on, behind the latents of it so far; theirs are written there."""
        return self._layers.read_on(self.embed(torch.tensor(tokens)), cached_LWD, start)

    @torch.inference_mode()
    def feed(self, tokens_M: Tensor, cache: LatentCache) -> States:
        """One or more tokens for every row of the cache, which grows by them, row by row."""
        return self._layers.feed(self.embed(tokens_M), cache)

    @torch.inference_mode()
    def logits(self, hidden_MX: Tensor) -> Tensor:
        """The head: logits_MV."""
        return F.linear(hidden_MX, self._head)

    def embed(self, tokens_M: Tensor) -> Tensor:
        """The trunk's input embeddings, (M, hidden)."""
        return torch.embedding(self._embedding, tokens_M)


def _causal_attention(query_MHD: Tensor, latent_MD: Tensor, latent_dim: int) -> Tensor:
    """Attention of one prompt's last tokens to all of it, a block of queries at a time so that memory stays linear in
    its length."""
    outputs, before = [], len(latent_MD) - len(query_MHD)
    for start in range(0, len(query_MHD), QUERY_BLOCK):
        query = query_MHD[start : start + QUERY_BLOCK]
        end = before + start + len(query)
        scores = (query.flatten(0, 1) @ latent_MD[:end].mT).view(len(query), -1, end)
        hidden = torch.ones(len(query), end, dtype=torch.bool).triu_(before + start + 1)
        weights = scores.masked_fill_(hidden[:, None], -torch.inf).softmax(-1)
        outputs.append((weights.flatten(0, 1) @ latent_MD[:end, :latent_dim]).view(*query.shape[:2], -1))
    return torch.cat(outputs)
