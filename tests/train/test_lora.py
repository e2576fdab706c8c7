"""LoRA: nothing changes at first, only the additions learn, and what is saved is a plain model that has learnt."""

import sys
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from afterbase.core.errors import UserError
from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.parallel import whole_state
from afterbase.train.lora import Lora, add_lora, merged
from zoo import working

IDS, SEGMENTS = torch.tensor([5, 6, 7, 8, 9, 10]), Segments.of([4, 2])


def logits(lm: LanguageModel) -> torch.Tensor:
    with torch.no_grad():
        return lm.logits(lm.hidden(IDS, SEGMENTS))


def disturb(lm: LanguageModel) -> None:
    """As if the additions had learnt something."""
    for name, parameter in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))


def test_additions_begin_as_nothing_and_are_all_that_is_trained(toy_lm):
    before = logits(toy_lm)
    add_lora(toy_lm, Lora(rank=2, alpha=4), seed=0)
    assert torch.equal(logits(toy_lm), before)
    trained = {name for name, p in toy_lm.modules().named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trained)
    layers = {name.split(".lora_")[0].rpartition(".")[2] for name in trained}
    assert layers == {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"}


def test_a_dense_model_gets_them_in_its_feed_forward_blocks_too(toy_tokenizer):
    shape = LlamaConfig(
        vocab_size=400, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    lm = LanguageModel(AutoModelForCausalLM.from_config(shape), toy_tokenizer, None)
    add_lora(lm, Lora(rank=2), seed=0)
    trained = [name for name, p in lm.model.named_parameters() if p.requires_grad]
    layers = {name.split(".lora_")[0].rpartition(".")[2] for name in trained}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_the_merged_folder_computes_what_the_additions_do(toy_lm, tmp_path):
    before = logits(toy_lm)
    config = Lora(rank=2, alpha=4)
    add_lora(toy_lm, config, seed=0)
    disturb(toy_lm)
    with_additions = logits(toy_lm)
    assert (with_additions - before).abs().max() > 0.01
    save(toy_lm, tmp_path, state=merged(whole_state(toy_lm.modules()), config))
    again = load(tmp_path)
    assert again.mtp is not None
    torch.testing.assert_close(logits(again), with_additions, rtol=0, atol=1e-5)
    assert not any("lora" in name for name in again.modules().state_dict())


@pytest.mark.parametrize("kind", ["qwen3_moe", "phimoe, bias", "granitemoe, divisor", "glm4_moe"])
def test_experts_of_other_families_are_in_the_merged_folder(kind, toy_tokenizer, tmp_path):
    """peft would wrap experts under names that no loader knows, and transformers would fill them at random."""
    lm = load(working(kind, tmp_path / "model", toy_tokenizer))
    config = Lora(rank=2, alpha=4)
    add_lora(lm, config, seed=0)
    trained = {name.split(".lora_")[0] for name, p in lm.model.named_parameters() if p.requires_grad}
    assert {name.split(".")[-2] for name in trained} == {"self_attn"}
    disturb(lm)
    save(lm, tmp_path / "out", state=merged(whole_state(lm.modules()), config), now=True)
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    model, found = loaded
    assert not any(found.values())
    assert sum(p.dim() == 3 for p in model.parameters()) >= 2, "experts of a layer, in one tensor each"
    torch.testing.assert_close(logits(load(tmp_path / "out")), logits(lm), rtol=0, atol=1e-4)


def test_a_model_without_linear_layers_is_refused(toy_tokenizer, tmp_path):
    lm = load(working("gpt2, dropout", tmp_path / "model", toy_tokenizer))
    with pytest.raises(UserError, match="go beside linear layers") as raised:
        add_lora(lm, Lora(rank=2), seed=0)
    assert "`gpt2`" in raised.value.got


def test_a_model_without_additions_is_saved_as_it_is(toy_lm):
    state = whole_state(toy_lm.modules())
    assert merged(state, None) is state


def test_without_peft_the_remedy_is_said(toy_lm, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match="peft") as raised:
        add_lora(toy_lm, Lora(), seed=0)
    assert "afterbase[lora]" in raised.value.remedy
