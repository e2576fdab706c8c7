"""What a DeepSeek-V3 layer does after its attention, in inference on the CPU: norm, router, experts.

Few tokens take as long as it takes to ask for the arithmetic, so that weights are taken out of their modules once, and
the sorting is NumPy's. Routing and gates follow `DeepseekV3TopkRouter` of transformers.

Shape suffixes as in decode_deepseek_v3.py; E experts, G groups of e experts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE


@dataclass(frozen=True)
class Norm:
    """An RMS norm over X numbers: its weight times sqrt(X), and the root of X times its epsilon."""

    weight: Tensor
    epsilon: Tensor


@torch.inference_mode()
def norm_of(module: Any) -> Norm:
    """The norm of a module, with its present weight."""
    width = len(module.weight)
    return Norm(module.weight * width**0.5, torch.tensor((width * module.variance_epsilon) ** 0.5))


def rms_norm(x: Tensor, norm: Norm) -> Tensor:
    """x over its root mean square, times the weight: sqrt(|x|^2 + X epsilon) = hypot(|x|, sqrt(X epsilon)).

    In half the time of `torch.rms_norm`, which on the CPU is seven operations.
    """
    return x.div(torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(norm.epsilon)).mul_(norm.weight)


@dataclass(frozen=True, kw_only=True)
class Dense:
    """down(act(gate x) * up x)."""

    norm: Norm | None
    gate: Tensor
    up: Tensor
    down: Tensor
    act: Callable[[Tensor], Tensor]

    def __call__(self, x_MX: Tensor) -> tuple[Tensor, None]:
        """The layer's addition to x, and that no expert was asked."""
        x = x_MX if self.norm is None else rms_norm(x_MX, self.norm)
        inner = self.act(F.linear(x, self.gate)).mul_(F.linear(x, self.up))
        return F.linear(inner, self.down), None


@dataclass(frozen=True, kw_only=True)
class Experts:
    """Shared plus routed experts; `gate_up` and `down` hold one transposed matrix an expert."""

    norm: Norm
    router: Any
    router_weight: Tensor
    router_bias: Tensor
    shared: Dense
    gate_up: tuple[Tensor, ...]
    down: tuple[Tensor, ...]
    act: Callable[[Tensor], Tensor]

    def __call__(self, x_MX: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's addition to x, and the experts_MK: pairs sorted by expert, one GEMM an expert into one buffer."""
        x = rms_norm(x_MX, self.norm)
        experts_MK, gates_MK = self._route(x)
        flat = experts_MK.numpy().reshape(-1)
        order = flat.argsort(kind="stable")
        loads = np.bincount(flat, minlength=len(self.down)).tolist()
        busy = [expert for expert, load in enumerate(loads) if load]
        sizes = [loads[expert] for expert in busy]
        rows = torch.from_numpy(order // experts_MK.shape[1])
        inner = x.new_empty(len(order), self.gate_up[0].shape[1])
        pairs = x.index_select(0, rows).split_with_sizes(sizes)
        for expert, pair, out in zip(busy, pairs, inner.split_with_sizes(sizes), strict=True):
            torch.mm(pair, self.gate_up[expert], out=out)
        gate, up = inner.chunk(2, dim=-1)
        inner = self.act(gate).mul_(up).split_with_sizes(sizes)
        outer = torch.empty(len(order), x.shape[1])
        for expert, pair, out in zip(busy, inner, outer.split_with_sizes(sizes), strict=True):
            torch.mm(pair, self.down[expert], out=out)
        outer.mul_(gates_MK.view(-1, 1).index_select(0, torch.from_numpy(order)))
        return self.shared(x)[0].index_add_(0, rows, outer), experts_MK

    def _route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Experts_MK and gates_MK: chosen by score + bias within the best groups, gated by the score alone."""
        router = self.router
        score_ME = F.linear(x, self.router_weight).sigmoid_()
        choice_ME = score_ME + self.router_bias
        if router.topk_group < router.num_group:
            choice_MGe = choice_ME.view(x.shape[0], router.num_group, -1)
            group_score_MG = choice_MGe.topk(2, dim=-1).values.sum(-1)
            chosen = group_score_MG.topk(router.topk_group, dim=-1, sorted=False).indices
            outside_MG = torch.ones_like(group_score_MG, dtype=torch.bool).scatter_(1, chosen, False)
            choice_ME = choice_MGe.masked_fill(outside_MG[..., None], -torch.inf).flatten(1)
        experts_MK = choice_ME.topk(router.top_k, dim=-1, sorted=False).indices
        gates_MK = score_ME.gather(1, experts_MK)
        if router.norm_topk_prob:
            gates_MK = gates_MK / (gates_MK.sum(-1, keepdim=True) + 1e-20)
        return experts_MK, gates_MK * router.routed_scaling_factor


def feed_forward_of(mlp: Any, norm: Norm) -> Dense | Experts:
    """The layer of a module, with its matrices as they are: later updates in place reach these, but not its norm."""
    if not isinstance(mlp, DeepseekV3MoE):
        return _dense(mlp, norm)
    weights: Any = mlp.experts
    return Experts(
        norm=norm,
        router=mlp.gate,
        router_weight=mlp.gate.weight,
        router_bias=mlp.gate.e_score_correction_bias,
        shared=_dense(mlp.shared_experts, None),
        gate_up=weights.gate_up_proj.mT.unbind(),
        down=weights.down_proj.mT.unbind(),
        act=weights.act_fn.forward,
    )


def _dense(mlp: Any, norm: Norm | None) -> Dense:
    return Dense(
        norm=norm,
        gate=mlp.gate_proj.weight,
        up=mlp.up_proj.weight,
        down=mlp.down_proj.weight,
        act=mlp.act_fn.forward,
    )
