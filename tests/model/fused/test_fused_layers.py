"""Which modules take the new way, and when. That it is the same sum: tests/model/test_attention.py, in float64."""

import copy

import pytest
import torch
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention, DeepseekV3RMSNorm

from afterbase.model.attention import Segments
from afterbase.model.fused import fused_layers
from afterbase.model.fused.fused_layers import FusedAttention, FusedNorm, fuse, unfused


def kinds(module: torch.nn.Module) -> set[type]:
    return {type(part) for part in module.modules() if isinstance(part, DeepseekV3Attention | DeepseekV3RMSNorm)}


def test_a_model_is_built_fused_its_copies_too(toy_lm):
    for module in (toy_lm.modules(), copy.deepcopy(toy_lm.modules())):
        assert kinds(module) == {FusedAttention, FusedNorm}


def test_unfused_for_a_while(toy_lm):
    with unfused(toy_lm.model):
        assert kinds(toy_lm.model) == {DeepseekV3Attention, DeepseekV3RMSNorm}
    assert kinds(toy_lm.model) == {FusedAttention, FusedNorm}


def test_other_modules_stay_as_they_are():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.RMSNorm(2))
    before = [type(part) for part in module.modules()]
    fuse(module)
    assert [type(part) for part in module.modules()] == before


def states(lm) -> torch.Tensor:
    ids = torch.randint(400, (12,), generator=torch.Generator().manual_seed(0))
    return lm.hidden(ids, Segments.of([5, 7]))


def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is called, from now on."""
    called: list[str] = []
    for name in ("latent_heads", "rms_norm"):
        own = getattr(fused_layers, name)
        monkeypatch.setattr(fused_layers, name, lambda *a, name=name, own=own: [called.append(name), own(*a)][1])
    return called


def test_packed_rows_take_the_new_way(toy_lm, monkeypatch):
    called = calls(monkeypatch)
    states(toy_lm)
    layers = toy_lm.model.config.num_hidden_layers
    assert called.count("latent_heads") == layers
    assert called.count("rms_norm") == 4 * layers + 1


def test_lower_precision_takes_that_of_transformers(toy_lm, monkeypatch):
    called = calls(monkeypatch)
    with torch.autocast("cpu", torch.bfloat16):
        states(toy_lm)
    assert "latent_heads" not in called
    called.clear()
    toy_lm.modules().to(torch.bfloat16)
    states(toy_lm)
    assert called == []


def test_a_rotation_of_halves_takes_that_of_transformers(toy_lm, monkeypatch):
    called = calls(monkeypatch)
    toy_lm.model.config.rope_interleave = False
    states(toy_lm)
    assert "latent_heads" not in called
