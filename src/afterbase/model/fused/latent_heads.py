"""From what multi-head latent attention projects to queries, keys and values of all heads, rotated, in one step.

A key is its head's part of the expanded latent beside one rotated part that all heads share (DeepSeek-V2 report,
arXiv 2405.04434, section 2.1.3). Rotated dimensions are neighbours, (x_2i + i x_2i+1) exp(i m theta_i): one complex
product. transformers puts even ones before odd ones, which a product of queries and keys does not see.

Notation: T tokens, H heads, n and R the width of a head without and with rotation, v that of a value.
"""

from typing import Any

import torch
from torch import Tensor


def latent_heads(
    query: Tensor, expanded: Tensor, key: Tensor, rotation: Tensor, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys (T, H, n + R) and values (T, H, v).

    query: (T, H (n + R)). expanded: (T, H (n + v)), of the latents. key: (T, R). rotation: complex (T, R / 2).
    """
    return _LatentHeads.apply(query, expanded, key, rotation, heads)


class _LatentHeads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, expanded: Tensor, key: Tensor, rotation: Tensor, heads: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(rotation)
        plain = ctx.plain = query.shape[1] // heads - key.shape[1]
        q_THD = query.clone(memory_format=torch.contiguous_format).view(len(query), heads, -1)
        _rotate(q_THD[..., plain:], rotation[:, None])
        expanded_THe = expanded.view(len(query), heads, -1)
        shared_TR = key.clone(memory_format=torch.contiguous_format)
        _rotate(shared_TR, rotation)
        k_THD = torch.empty_like(q_THD)
        k_THD[..., :plain] = expanded_THe[..., :plain]
        k_THD[..., plain:] = shared_TR[:, None]
        return q_THD, k_THD, expanded_THe[..., plain:].clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (rotation,) = ctx.saved_tensors
        plain = ctx.plain
        back = rotation.conj().resolve_conj()
        of_q, of_k, of_v = grads
        of_query = of_q.clone(memory_format=torch.contiguous_format)
        _rotate(of_query[..., plain:], back[:, None])
        of_expanded = of_k.new_empty(*of_k.shape[:2], plain + of_v.shape[2])
        of_expanded[..., :plain] = of_k[..., :plain]
        of_expanded[..., plain:] = of_v
        of_key = of_k[..., plain:].sum(1)
        _rotate(of_key, back)
        return of_query.flatten(1), of_expanded.flatten(1), of_key, None, None


def _rotate(x: Tensor, rotation: Tensor) -> None:
    """In place, (..., R)."""
    torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(rotation)
