"""Inference for Llama and its like on the CPU: merged projections, grouped keys and values, optionally in int8.

The layers are those of `LlamaModel`, `MistralModel`, `Qwen2Model` and `Qwen3Model` of transformers: pre-norm,
grouped-query attention (Ainslie et al., arXiv 2305.13245), in Qwen3 with a norm of each query and key, rotary
positions, a gated feed-forward block. Not covered: sliding windows, rotary
tables that depend on the length, adapters; models with these run in decode_any.py.

In int8 a weight is stored in eight bits with one scale a row, and activations are divided by the largest of their token
and quantised as they come. Norms, attention and embeddings stay in float32. The offset of activations is that of all
rows of a step together, so that int8 samples, unlike others, can depend on the batch.

Shape suffixes: M tokens, X hidden width, H heads, G key heads, D head width, L layers, W tokens of a prompt.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM, MistralForCausalLM, PreTrainedModel, Qwen2ForCausalLM, Qwen3ForCausalLM

from afterbase.model.attention_variant import PLAIN, AttentionVariant, causal_attention
from afterbase.model.decoding.decode_deepseek_v3 import States
from afterbase.model.decoding.feed_forward import Norm, norm_of, rms_norm
from afterbase.model.decoding.latent_cache import Attend, AttendVariant, LatentCache, Layout

Product = Callable[[Tensor], Tensor]
_PACKED_ROWS = 64  # the number of rows that the layout of a packed weight is made for; any number may come

STABLE_ROPE = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """One layer's products, in order, and its norms."""

    input_norm: Norm
    qkv: Product
    query_norm: Norm | None
    key_norm: Norm | None
    output: Product
    norm: Norm
    gate_up: Product
    act: Any
    down: Product


class LlamaDecoder:
    """Prefill and decode steps that give the logits of `model(input_ids)`; call `refresh` after a weight update.

    Weights are copied, merged, at each `refresh`.
    """

    longest: int | None = None

    @staticmethod
    def runs(model: PreTrainedModel) -> bool:
        """Whether the model is one of these families and all plain."""
        if not isinstance(model, LlamaForCausalLM | MistralForCausalLM | Qwen2ForCausalLM | Qwen3ForCausalLM):
            return False
        config = model.config.to_dict()
        windowed = config.get("sliding_window") and config.get("use_sliding_window", True)
        linears = [m for name, m in model.named_modules() if name.endswith(("_proj", "lm_head"))]
        plain = all(type(linear) is nn.Linear for linear in linears)
        return plain and not windowed and config["rope_parameters"]["rope_type"] in STABLE_ROPE

    def __init__(self, model: PreTrainedModel, *, int8: bool = False) -> None:
        self.model: Any = model
        attention = self.model.model.layers[0].self_attn
        self._int8 = int8
        self._head_dim: int = attention.head_dim
        self._heads: int = attention.q_proj.out_features // self._head_dim
        self._key_heads: int = attention.k_proj.out_features // self._head_dim
        self._rotation_WR = torch.empty(0, self._head_dim // 2, dtype=torch.complex64)
        self.refresh()

    @torch.inference_mode()
    def refresh(self) -> None:
        """Merge, and in int8 quantise, the module's present weights."""
        self._layers = [self._merge(layer) for layer in self.model.model.layers]
        self._norm = norm_of(self.model.model.norm)
        head = self.model.lm_head
        self._head = self._product(head.weight, head.bias)

    def _merge(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        query_norm, key_norm = (self._head_norm(attention, name) for name in ("q_norm", "k_norm"))
        if query_norm is None:
            query = [self._in_pairs(x) * attention.scaling for x in _parameters(attention.q_proj)]
        else:  # which would undo the scaling of what comes before it
            query = [self._in_pairs(x) for x in _parameters(attention.q_proj)]
            query_norm = Norm(query_norm.weight * attention.scaling, query_norm.epsilon)
        key = [self._in_pairs(x) for x in _parameters(attention.k_proj)]
        qkv = zip(query, map(self._after_each, key, _parameters(attention.v_proj)), strict=True)
        gate_up = zip(_parameters(mlp.gate_proj), _parameters(mlp.up_proj), strict=True)
        return _Layer(
            input_norm=norm_of(layer.input_layernorm),
            qkv=self._product(*map(torch.cat, qkv)),
            query_norm=query_norm,
            key_norm=key_norm,
            output=self._product(*_parameters(attention.o_proj)),
            norm=norm_of(layer.post_attention_layernorm),
            gate_up=self._product(*map(torch.cat, gate_up)),
            act=mlp.act_fn,
            down=self._product(*_parameters(mlp.down_proj)),
        )

    def _head_norm(self, attention: Any, name: str) -> Norm | None:
        module = getattr(attention, name, None)
        if module is None:
            return None
        norm = norm_of(module)
        return Norm(self._in_pairs(norm.weight), norm.epsilon)

    def _in_pairs(self, x: Tensor) -> Tensor:
        """Rope pairs as neighbours, so that a rotation is one complex product; dot products do not see the order."""
        halves = x.view(-1, 2, self._head_dim // 2, *x.shape[1:])
        return halves.transpose(1, 2).reshape(x.shape)

    def _after_each(self, key: Tensor, value: Tensor) -> Tensor:
        """The rows of each key head, and after them those of its value."""
        heads = (x.unflatten(0, (self._key_heads, 1, self._head_dim)) for x in (key, value))
        return torch.cat(tuple(heads), 1).flatten(0, 2)

    def _product(self, weight: Tensor, bias: Tensor | None = None) -> Product:
        return int8_product(weight, bias) if self._int8 else packed_product(weight, bias)

    def new_cache(self, *, rows: int, prompt_width: int, own_width: int, longest: int | None = None) -> LatentCache:
        """As `LatentLayers.new_cache`."""
        self._extend_rotation(longest or prompt_width + own_width)
        layout = key_value_layout(
            layers=len(self._layers), heads=self._heads, key_heads=self._key_heads, head_dim=self._head_dim
        )
        return LatentCache(layout, rows=rows, prompt_width=prompt_width, own_width=own_width)

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[list[Tensor], States]:
        """Prompts that do not see each other: each one's keys and values, cached_LWD, and the states of all tokens."""
        lengths = [len(prompt) for prompt in prompts]
        self._extend_rotation(max(lengths))
        positions_M = torch.cat([torch.arange(length) for length in lengths])
        cached_LMD = torch.empty(len(self._layers), len(positions_M), 2 * self._key_heads * self._head_dim)

        def attend(layer: int, query_MHD: Tensor, cached_MD: Tensor) -> Tensor:
            cached_LMD[layer] = cached_MD
            return attention_to_own(query_MHD, cached_MD, lengths)

        tokens_M = torch.tensor([token for prompt in prompts for token in prompt])
        return list(cached_LMD.split(lengths, dim=1)), self._run(tokens_M, positions_M, attend)

    @torch.inference_mode()
    def read_on(self, tokens: Sequence[int], cached_LWD: Tensor, start: int) -> States:
        """A prompt's tokens from `start` on, behind what is cached of it so far; what is cached of them is written
        there."""
        end = start + len(tokens)
        self._extend_rotation(end)
        return self._run(torch.tensor(tokens), torch.arange(start, end), attention_to_cached(cached_LWD, start, end))

    @torch.inference_mode()
    def feed(self, tokens_M: Tensor, cache: LatentCache) -> States:
        """The next token of every row of the cache, which grows by them."""
        return self._run(tokens_M, *cache.begin_step())

    @torch.inference_mode()
    def logits(self, hidden_MX: Tensor) -> Tensor:
        """The head: logits_MV."""
        return self._head(hidden_MX)

    def _extend_rotation(self, width: int) -> None:
        if len(self._rotation_WR) < width:
            cos, sin = self.model.model.rotary_emb(torch.empty(0), torch.arange(2 * width)[None])
            half = self._rotation_WR.shape[1]
            self._rotation_WR = torch.complex(cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous())

    def _run(self, tokens_M: Tensor, positions_M: Tensor, attend: Attend) -> States:
        x = F.embedding(tokens_M, self.model.model.embed_tokens.weight)
        rotation_M1R = self._rotation_WR.index_select(0, positions_M)[:, None]
        for index, layer in enumerate(self._layers):
            qkv_MHD = layer.qkv(rms_norm(x, layer.input_norm)).view(len(x), -1, self._head_dim)
            query_MHD, cached_MHD = qkv_MHD[:, : self._heads], qkv_MHD[:, self._heads :]
            for rotated, norm in ((query_MHD, layer.query_norm), (cached_MHD[:, ::2], layer.key_norm)):
                if norm is not None:
                    rotated.copy_(rms_norm(rotated, norm))
                torch.view_as_complex(rotated.unflatten(-1, (-1, 2))).mul_(rotation_M1R)
            attended = attend(index, query_MHD, cached_MHD.flatten(1))
            x.add_(layer.output(attended.flatten(1)))
            gate, up = layer.gate_up(rms_norm(x, layer.norm)).chunk(2, dim=1)
            x.add_(layer.down(layer.act(gate).mul_(up)))
        return States(hidden_MX=rms_norm(x, self._norm), experts=[])


def _parameters(linear: nn.Linear) -> list[Tensor]:
    return [linear.weight] if linear.bias is None else [linear.weight, linear.bias]


def packed_product(weight: Tensor, bias: Tensor | None) -> Product:
    """x @ weight.T + bias in float32, by oneDNN with the weight laid out for it once: faster the fewer rows there are.

    At 128 rows of a 135M model as fast as `F.linear`, at 32 rows faster by a half (2 cores of an EPYC, AVX2). The
    operators are those that torch.compile puts in place of frozen linear layers.
    """
    if not torch.backends.mkldnn.is_available():
        return partial(F.linear, weight=weight, bias=bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _PACKED_ROWS)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


def int8_product(weight: Tensor, bias: Tensor | None) -> Product:
    """x -> x W' + b with W in int8, a scale a row, and x quantised as it comes; the weight is a packed copy."""
    scale = (weight.abs().amax(1) / 127.0).clamp(min=torch.finfo(torch.float32).tiny).double()
    zeros = torch.zeros(len(scale), dtype=torch.long)
    with warnings.catch_warnings():  # torch 2.13 calls quantized tensors deprecated, and packs nothing else
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel")
        quantised = torch.quantize_per_channel(weight, scale, zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(quantised, None)

    def product(x: Tensor) -> Tensor:
        # The operator has one scale for all rows: without one of its own, a row is ruined by another's outliers.
        largest = x.abs().amax(1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny)
        # Seven bits for activations: with eight, pairs of products overflow the 16 bits that AVX2 adds them in.
        out = torch.ops.quantized.linear_dynamic(x / largest, packed, True).mul_(largest)
        return out if bias is None else out.add_(bias)

    return product


def key_value_layout(*, layers: int, heads: int, key_heads: int, head_dim: int) -> Layout:
    """Tokens that are key and value of one key head after another."""
    return Layout(
        layers=layers,
        heads=heads,
        shares=key_heads,
        share_dim=2 * head_dim,
        key=slice(0, head_dim),
        value=slice(head_dim, 2 * head_dim),
    )


def attention_to_own(
    query_MHD: Tensor, cached_MD: Tensor, lengths: Sequence[int], variant: AttentionVariant = PLAIN
) -> Tensor:
    """Attention of each sequence to itself, (M, H, D); queries are scaled, `cached_MD` as `key_value_layout` has it."""
    key_MGD, value_MGD = cached_MD.view(len(cached_MD), -1, 2, query_MHD.shape[-1]).unbind(2)
    outputs = []
    for sequence in zip(query_MHD.split(lengths), key_MGD.split(lengths), value_MGD.split(lengths), strict=True):
        query, key, value = (x.transpose(0, 1)[None] for x in sequence)
        outputs.append(causal_attention(query, key, value, variant, scaling=1.0)[0].transpose(0, 1))
    return torch.cat(outputs)


def attention_to_cached(cached_LWD: Tensor, start: int, end: int) -> AttendVariant:
    """Attention of the tokens from `start` to `end` to themselves and all before, which are cached."""

    def attend(layer: int, query_MHD: Tensor, cached_MD: Tensor, variant: AttentionVariant = PLAIN) -> Tensor:
        cached_LWD[layer, start:end] = cached_MD
        key_WGD, value_WGD = cached_LWD[layer, :end].view(end, -1, 2, query_MHD.shape[-1]).unbind(2)
        query, key, value = (x.transpose(0, 1)[None] for x in (query_MHD, key_WGD, value_WGD))
        return causal_attention(query, key, value, variant, scaling=1.0, before=start)[0].transpose(0, 1)

    return attend
