"""DeepSeek-V3's norms and attention in fewer passes over memory: for small models, where products are not all.

Modules keep their weights, names and hooks; only the class changes, as in FSDP2, and `unfused` gives the family's own
back. Packed rows in float32 and float64 take the new way; everything else, such as bfloat16 or a cache, takes
transformers'. The sums are the same in another order.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention, DeepseekV3RMSNorm

from afterbase.model.attention import packed_attention
from afterbase.model.fused.latent_heads import latent_heads
from afterbase.model.fused.rms_norm import rms_norm

_WIDE = (torch.float32, torch.float64)


class FusedNorm(DeepseekV3RMSNorm):
    """Its forward and backward pass as one step each."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., width) to the same."""
        if hidden_states.dtype != self.weight.dtype or hidden_states.dtype not in _WIDE:
            return super().forward(hidden_states)
        return rms_norm(hidden_states, self.weight, self.variance_epsilon)


class FusedAttention(DeepseekV3Attention):
    """Heads and their rotation as one step between the projections and the packed attention."""

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> Any:
        """(1, tokens, hidden) to the same, and no weights of the attention."""
        if "segments" not in kwargs or past_key_values is not None or not self._fits(hidden_states):
            return super().forward(hidden_states, position_embeddings, attention_mask, past_key_values, **kwargs)
        x = hidden_states[0]
        query = x
        for module in (self.q_proj, self.q_a_proj, self.q_a_layernorm, self.q_b_proj):  # one, or the other three
            query = query if module is None else module(query)
        latent, key = self.kv_a_proj_with_mqa(x).split([self.kv_lora_rank, self.qk_rope_head_dim], dim=-1)
        expanded = self.kv_b_proj(self.kv_a_layernorm(latent))
        cos, sin = (part[0, :, : self.qk_rope_head_dim // 2].to(query.dtype) for part in position_embeddings)
        heads = latent_heads(query, expanded, key, torch.complex(cos, sin), self.num_heads)
        q, k, v = (part.transpose(0, 1)[None] for part in heads)
        attended, _ = packed_attention(self, q, k, v, attention_mask, scaling=self.scaling, **kwargs)
        return self.o_proj(attended.flatten(-2)), None

    def _fits(self, x: Tensor) -> bool:
        exact = x.dtype in _WIDE and not torch.is_autocast_enabled(x.device.type)
        pairs = bool(self.config.rope_interleave) and self.qk_nope_head_dim % 2 == 0
        return exact and pairs


_FUSED: dict[type[nn.Module], type[nn.Module]] = {DeepseekV3RMSNorm: FusedNorm, DeepseekV3Attention: FusedAttention}
_OWN = {fused: own for own, fused in _FUSED.items()}


def fuse(module: nn.Module) -> None:
    """Everything below a module takes the new way, in place; of other families nothing changes."""
    _change(module, _FUSED)


@contextmanager
def unfused(module: nn.Module) -> Iterator[None]:
    """Inside the block everything below a module is transformers' own, then what it was before."""
    before = [(part, type(part)) for part in module.modules()]
    _change(module, _OWN)
    try:
        yield
    finally:
        for part, kind in before:
            part.__class__ = kind


def _change(module: nn.Module, to: dict[type[nn.Module], type[nn.Module]]) -> None:
    for part in module.modules():
        part.__class__ = to.get(type(part), type(part))
