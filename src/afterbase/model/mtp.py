"""The multi-token prediction module of DeepSeek-V3 (report section 2.2), depth 1.

h'_i = block(M [norm(Emb(t_{i+1})); norm(h_i)]), then norm and the shared head predict t_{i+2}. The order inside the
brackets is that of the released checkpoint's `eh_proj`. h_i is the trunk's output after its final norm, as in the
released inference code. `transformers` loads the trunk and drops these weights; `load` and `save` in load.py keep them
under the names of the original checkpoint, `model.layers.N.*` with N = num_hidden_layers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3DecoderLayer, DeepseekV3RMSNorm

from afterbase.model.attention import Segments

_EXPERT_PARTS = ("gate_proj", "up_proj", "down_proj")


class MtpModule(nn.Module):
    """One extra transformer block that predicts the token after next; embedding and head are the trunk's."""

    def __init__(self, config: DeepseekV3Config) -> None:
        super().__init__()
        self.enorm = DeepseekV3RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.hnorm = DeepseekV3RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.eh_proj = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        self.block = DeepseekV3DecoderLayer(config, layer_idx=config.num_hidden_layers)
        self.norm = DeepseekV3RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=config.initializer_range)
        for name, parameter in self.named_parameters():
            if name.endswith((".gate.weight", ".gate_up_proj", "experts.down_proj")):
                nn.init.normal_(parameter, std=config.initializer_range)

    def forward(
        self, hidden: Tensor, next_embeddings: Tensor, rotary: tuple[Tensor, Tensor], segments: Segments
    ) -> Tensor:
        """Normed hidden states that the shared head turns into logits of t_{i+2}; all (1, tokens, hidden).

        `next_embeddings[:, i]` is Emb(t_{i+1}). A sample's last token has none: the caller gives zeros there, so that
        not even the router's statistics depend on what comes after in the row.
        """
        joined = torch.cat([self.enorm(next_embeddings), self.hnorm(hidden)], dim=-1)
        out = self.block(
            self.eh_proj(joined),
            position_embeddings=rotary,
            attention_mask=None,
            position_ids=segments.position_ids[None],
            segments=segments,
        )
        return self.norm(out)

    def load_tensors(self, layer: int, tensors: dict[str, Tensor]) -> None:
        """Fill the module from tensors under the original names; a missing or surplus name is a KeyError."""
        prefix = f"model.layers.{layer}."
        own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        own.pop("embed_tokens.weight", None)
        own.pop("shared_head.head.weight", None)
        state = {}
        for name, tensor in self.state_dict().items():
            parts = [own.pop(original) for original, _ in _to_original(name, tensor)]
            state[name] = _from_original(name, parts)
        if own:
            raise KeyError(f"unexpected multi-token prediction weights: {sorted(own)[:5]}")
        self.load_state_dict(state)


def original_names(state: Mapping[str, Tensor], layer: int, embedding: Tensor, head: Tensor) -> dict[str, Tensor]:
    """The module's weights under the original checkpoint's names, with its copies of embedding and head."""
    out = {"embed_tokens.weight": embedding, "shared_head.head.weight": head}
    for name, tensor in state.items():
        out |= dict(_to_original(name, tensor))
    return {f"model.layers.{layer}.{name}": t.clone().contiguous() for name, t in out.items()}


def _to_original(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    if name == "norm.weight":
        return [("shared_head.norm.weight", tensor)]
    name = name.removeprefix("block.")
    if name == "mlp.experts.gate_up_proj":
        halves = [t.chunk(2) for t in tensor]
        return [
            (f"mlp.experts.{e}.{part}.weight", half)
            for e, pair in enumerate(halves)
            for part, half in zip(_EXPERT_PARTS[:2], pair, strict=True)
        ]
    if name == "mlp.experts.down_proj":
        return [(f"mlp.experts.{e}.down_proj.weight", t) for e, t in enumerate(tensor)]
    return [(name, tensor)]


def _from_original(name: str, parts: list[Tensor]) -> Tensor:
    if name.endswith("experts.gate_up_proj"):
        return torch.stack([torch.cat(parts[i : i + 2]) for i in range(0, len(parts), 2)])
    if name.endswith("experts.down_proj"):
        return torch.stack(parts)
    return parts[0]
