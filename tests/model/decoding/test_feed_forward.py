"""The layer after attention, against the modules of transformers that hold its weights."""

import pytest
import torch
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MLP, DeepseekV3MoE, DeepseekV3RMSNorm

from afterbase.model.decoding.feed_forward import Dense, Experts, feed_forward_of, norm_of, rms_norm

WIDTH = 12


def config(**changes) -> DeepseekV3Config:
    settings = {
        "hidden_size": WIDTH,
        "intermediate_size": 20,
        "moe_intermediate_size": 6,
        "n_routed_experts": 8,
        "num_experts_per_tok": 3,
        "n_shared_experts": 2,
        "n_group": 4,
        "topk_group": 2,
        "routed_scaling_factor": 2.5,
    }
    return DeepseekV3Config(**{**settings, **changes})


def filled(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    rng = torch.Generator().manual_seed(seed)
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.data.copy_(torch.randn(tensor.shape, generator=rng) * 0.3)
    return module.eval()


@pytest.mark.parametrize("tokens", [1, 2, 40])
@pytest.mark.parametrize(
    "changes", [{}, {"n_group": 1, "topk_group": 1}, {"norm_topk_prob": False}, {"routed_scaling_factor": 1.0}], ids=str
)
@torch.inference_mode()
def test_experts_are_chosen_and_weighed_as_in_the_module(tokens: int, changes) -> None:
    moe, norm = filled(DeepseekV3MoE(config(**changes))), filled(DeepseekV3RMSNorm(WIDTH), seed=1)
    x = torch.randn(tokens, WIDTH, generator=torch.Generator().manual_seed(2))
    layer = feed_forward_of(moe, norm_of(norm))
    assert isinstance(layer, Experts)
    got, experts_MK = layer(x)
    torch.testing.assert_close(got, moe(norm(x)[None])[0])
    assert experts_MK.shape == (tokens, 3)
    assert all(len(set(row)) == 3 for row in experts_MK.tolist())


@torch.inference_mode()
def test_with_groups_only_experts_of_the_chosen_groups_are_asked() -> None:
    moe = filled(DeepseekV3MoE(config()))
    layer = feed_forward_of(moe, norm_of(filled(DeepseekV3RMSNorm(WIDTH), seed=1)))
    _, experts_MK = layer(torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(3)))
    assert experts_MK is not None
    assert max(len({expert // 2 for expert in row}) for row in experts_MK.tolist()) <= 2


@torch.inference_mode()
def test_a_dense_layer_is_the_modules() -> None:
    mlp, norm = filled(DeepseekV3MLP(config())), filled(DeepseekV3RMSNorm(WIDTH), seed=1)
    x = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(2))
    layer = feed_forward_of(mlp, norm_of(norm))
    assert isinstance(layer, Dense)
    got, experts = layer(x)
    torch.testing.assert_close(got, mlp(norm(x)))
    assert experts is None
    torch.testing.assert_close(rms_norm(x, norm_of(norm)), norm(x))


@torch.inference_mode()
def test_weights_that_are_updated_in_place_reach_the_layer() -> None:
    moe, norm = filled(DeepseekV3MoE(config())), filled(DeepseekV3RMSNorm(WIDTH), seed=1)
    layer = feed_forward_of(moe, norm_of(norm))
    filled(moe, seed=9)
    x = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(layer(x)[0], moe(norm(x)[None])[0])
