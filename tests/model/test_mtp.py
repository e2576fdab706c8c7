"""The multi-token prediction module: what it sees, what it is called on disk, and what packing must not change."""

import pytest
import torch

from afterbase.model.attention import Segments
from afterbase.model.mtp import MtpModule, original_names

LAYER = 3  # the toy model has layers 0 to 2

# As in deepseek-ai/DeepSeek-V3 `model.safetensors.index.json`, layer 61, with the toy's eight experts.
ORIGINAL_NAMES = {
    "embed_tokens.weight",
    "enorm.weight",
    "hnorm.weight",
    "eh_proj.weight",
    "shared_head.norm.weight",
    "shared_head.head.weight",
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "self_attn.q_a_proj.weight",
    "self_attn.q_a_layernorm.weight",
    "self_attn.q_b_proj.weight",
    "self_attn.kv_a_proj_with_mqa.weight",
    "self_attn.kv_a_layernorm.weight",
    "self_attn.kv_b_proj.weight",
    "self_attn.o_proj.weight",
    "mlp.gate.weight",
    "mlp.gate.e_score_correction_bias",
    *(f"mlp.shared_experts.{part}.weight" for part in ("gate_proj", "up_proj", "down_proj")),
    *(f"mlp.experts.{e}.{part}.weight" for e in range(8) for part in ("gate_proj", "up_proj", "down_proj")),
}


def run(lm, ids: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    segments = Segments.of(lengths)
    return lm.mtp_hidden(ids, lm.hidden(ids, segments), segments)


def toy_ids(count: int) -> torch.Tensor:
    return torch.randint(400, (count,), generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("lengths", [[1], [2, 1, 1, 7], [9, 3, 30, 1]], ids=str)
def test_packed_equals_alone(exact_lm, lengths):
    """At every position, a sample's last included, which the routers see though nothing is predicted there."""
    ids = toy_ids(sum(lengths))
    packed = run(exact_lm, ids, lengths)
    alone = torch.cat([run(exact_lm, part, [len(part)]) for part in ids.split(lengths)])
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-9)


def test_a_prediction_sees_the_next_token_and_no_further(toy_lm):
    ids = toy_ids(8)
    before = run(toy_lm, ids, [8])
    changed = ids.clone()
    changed[5] = (changed[5] + 1) % 400
    moved = (run(toy_lm, changed, [8]) - before).abs().amax(-1) > 1e-6
    assert moved.tolist() == [False] * 4 + [True] * 4


def test_the_projection_takes_the_embedding_first(toy_lm):
    seen: list[torch.Tensor] = []
    toy_lm.mtp.eh_proj.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    torch.nn.init.uniform_(toy_lm.mtp.enorm.weight)
    torch.nn.init.uniform_(toy_lm.mtp.hnorm.weight)
    ids = toy_ids(5)
    run(toy_lm, ids, [5])
    embeddings = toy_lm.model.model.embed_tokens(ids[1:])
    hidden = toy_lm.hidden(ids, Segments.of([5]))
    torch.testing.assert_close(seen[0][0, :-1, :32], toy_lm.mtp.enorm(embeddings))
    torch.testing.assert_close(seen[0][0, :, 32:], toy_lm.mtp.hnorm(hidden))


def test_names_are_those_of_the_original_checkpoint(toy_lm):
    embedding, head = toy_lm.model.model.embed_tokens.weight, toy_lm.model.lm_head.weight
    tensors = original_names(toy_lm.mtp.state_dict(), LAYER, embedding, head)
    assert set(tensors) == {f"model.layers.{LAYER}.{name}" for name in ORIGINAL_NAMES}
    assert torch.equal(tensors["model.layers.3.embed_tokens.weight"], embedding)
    assert torch.equal(tensors["model.layers.3.shared_head.head.weight"], head)
    experts = toy_lm.mtp.block.mlp.experts
    assert torch.equal(tensors["model.layers.3.mlp.experts.5.gate_proj.weight"], experts.gate_up_proj[5, :16])
    assert torch.equal(tensors["model.layers.3.mlp.experts.5.up_proj.weight"], experts.gate_up_proj[5, 16:])
    assert torch.equal(tensors["model.layers.3.mlp.experts.5.down_proj.weight"], experts.down_proj[5])


def exported(lm) -> dict[str, torch.Tensor]:
    lm.mtp.block.mlp.gate.e_score_correction_bias.copy_(torch.arange(8.0))
    return original_names(lm.mtp.state_dict(), LAYER, lm.model.model.embed_tokens.weight, lm.model.lm_head.weight)


def test_round_trip(toy_lm):
    other = MtpModule(toy_lm.model.config)
    assert not torch.equal(other.eh_proj.weight, toy_lm.mtp.eh_proj.weight)
    other.load_tensors(LAYER, {**exported(toy_lm), "model.norm.weight": torch.ones(32)})
    ours, theirs = toy_lm.mtp.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_missing_or_surplus_weight_is_an_error(toy_lm):
    tensors = exported(toy_lm)
    with pytest.raises(KeyError, match="surplus"):
        toy_lm.mtp.load_tensors(LAYER, {**tensors, "model.layers.3.surplus": torch.zeros(1)})
    del tensors["model.layers.3.mlp.experts.7.up_proj.weight"]
    with pytest.raises(KeyError, match="up_proj"):
        toy_lm.mtp.load_tensors(LAYER, tensors)


def test_every_weight_is_initialised(toy_lm):
    """Experts and router are bare tensors, which no default fills."""
    for name, parameter in toy_lm.mtp.named_parameters():
        if "norm" in name:
            assert (parameter == 1).all(), name
        else:
            assert parameter.std().item() == pytest.approx(0.1, rel=0.35), name
