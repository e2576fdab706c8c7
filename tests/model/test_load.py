"""Models on disk: plain Hugging Face folders that keep the multi-token prediction weights."""

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DeepseekV3Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    Qwen3Config,
)

from afterbase.core.errors import UserError
from afterbase.model.attention import Segments
from afterbase.model.folders import find
from afterbase.model.load import build, load, save

IDS = torch.tensor([7, 100, 3, 5, 5, 200, 9, 11, 300])
LENGTHS = [4, 5]


@torch.no_grad()
def both_logits(lm) -> tuple[torch.Tensor, torch.Tensor]:
    segments = Segments.of(LENGTHS)
    hidden = lm.hidden(IDS, segments)
    return lm.logits(hidden), lm.logits(lm.mtp_hidden(IDS, hidden, segments))


def biases(lm) -> list[torch.Tensor]:
    """Of all three routers, the prediction module's included."""
    return [b for name, b in lm.modules().named_buffers() if name.endswith("e_score_correction_bias")]


@torch.no_grad()
def transformers_logits(folder, **options) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)
    return torch.cat([model(input_ids=part[None], use_cache=False).logits[0] for part in IDS.split(LENGTHS)])


def test_a_saved_model_gives_the_same_logits(toy_lm, toy_folder):
    for ours, theirs in zip(both_logits(toy_lm), both_logits(load(toy_folder)), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_transformers_reads_the_same_model(toy_folder, attention):
    main, _ = both_logits(load(toy_folder, dtype=torch.float64))
    parts = {"attn_implementation": attention, "experts_implementation": "eager"}
    torch.testing.assert_close(transformers_logits(toy_folder, dtype=torch.float64, **parts), main, rtol=0, atol=1e-6)


def test_so_does_a_plain_from_pretrained(toy_lm, toy_folder):
    """As anybody would load it: float32, transformers' choice of kernels."""
    main, _ = both_logits(toy_lm)
    torch.testing.assert_close(transformers_logits(toy_folder), main, rtol=0, atol=1e-5)


def test_nothing_in_the_folder_needs_afterbase(toy_folder):
    assert "afterbase" not in (toy_folder / "config.json").read_text()
    assert AutoTokenizer.from_pretrained(toy_folder, local_files_only=True).chat_template


def test_a_save_by_transformers_drops_the_prediction_module(toy_folder, tmp_path):
    """The trap: transformers loads the trunk alone, so what it saves is a model without a draft."""
    again = tmp_path / "again"
    AutoModelForCausalLM.from_pretrained(toy_folder, local_files_only=True).save_pretrained(again)
    AutoTokenizer.from_pretrained(toy_folder, local_files_only=True).save_pretrained(again)
    assert load(toy_folder).mtp is not None
    lm = load(again)
    assert lm.mtp is None
    assert set(lm.modules()) == {"trunk"}


def test_saving_rewrites_the_copies_of_embedding_and_head(toy_folder, tmp_path):
    lm = load(toy_folder)
    with torch.no_grad():
        lm.model.model.embed_tokens.weight.add_(1.0)
        lm.model.lm_head.weight.mul_(2.0)
    save(lm, tmp_path / "moved")
    tensors = load_file(tmp_path / "moved" / "model.safetensors")
    assert torch.equal(tensors["model.layers.3.embed_tokens.weight"], tensors["model.embed_tokens.weight"])
    assert torch.equal(tensors["model.layers.3.shared_head.head.weight"], tensors["lm_head.weight"])


def test_bfloat16_on_disk_keeps_router_biases_in_float32(toy_lm, tmp_path):
    for i, bias in enumerate(biases(toy_lm)):
        bias.copy_(torch.arange(8) * 1e-3 + i)  # bfloat16 would round these
    save(toy_lm, tmp_path / "half", dtype=torch.bfloat16)
    tensors = load_file(tmp_path / "half" / "model.safetensors")
    kinds = {name.endswith("e_score_correction_bias"): tensor.dtype for name, tensor in tensors.items()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"

    whole = load(tmp_path / "half")
    assert {p.dtype for p in whole.modules().parameters()} == {torch.float32}
    half = load(tmp_path / "half", dtype=torch.bfloat16)
    assert {p.dtype for p in half.modules().parameters()} == {torch.bfloat16}
    for lm in (whole, half):
        assert torch.equal(torch.stack(biases(lm)), torch.stack(biases(toy_lm)))
    for ours, theirs in zip(both_logits(whole), both_logits(half), strict=True):
        assert theirs.dtype == torch.bfloat16
        torch.testing.assert_close(ours.log_softmax(-1).exp(), theirs.float().log_softmax(-1).exp(), rtol=0, atol=0.02)


def test_tied_weights_stay_tied(toy_lm, toy_tokenizer, tmp_path):
    config = DeepseekV3Config(**{**toy_lm.model.config.to_dict(), "tie_word_embeddings": True})
    tied = build(config, toy_tokenizer, seed=1)
    save(tied, tmp_path / "tied")
    again = load(tmp_path / "tied")
    assert again.model.lm_head.weight is again.model.model.embed_tokens.weight
    for ours, theirs in zip(both_logits(tied), both_logits(again), strict=True):
        assert torch.equal(ours, theirs)


def test_a_model_is_a_function_of_its_seed(toy_lm, toy_tokenizer):
    config = DeepseekV3Config(**toy_lm.model.config.to_dict())
    again, other = build(config, toy_tokenizer, seed=0), build(config, toy_tokenizer, seed=1)
    weights = [lm.modules().state_dict() for lm in (toy_lm, again, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["mtp.eh_proj.weight"], weights[2]["mtp.eh_proj.weight"])
    assert not torch.equal(weights[0]["trunk.lm_head.weight"], weights[2]["trunk.lm_head.weight"])


def test_loading_gives_a_model_in_eval_mode(toy_folder):
    assert not any(module.training for module in load(toy_folder).modules().children())


SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}


def folder_of(config, tokenizer, tmp_path):
    """A random model of a family, beside the toy tokenizer."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    return tmp_path / "other"


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", [LlamaConfig, Qwen3Config, GPTNeoXConfig])
def test_other_families_give_the_logits_that_they_give_in_transformers(toy_tokenizer, tmp_path, family, tied: bool):
    config = family(**SMALL, vocab_size=len(toy_tokenizer), tie_word_embeddings=tied)
    lm = load(folder_of(config, toy_tokenizer, tmp_path))
    with torch.no_grad():
        ours = lm.logits(lm.hidden(IDS, Segments.of(LENGTHS)))
    torch.testing.assert_close(transformers_logits(tmp_path / "other"), ours, rtol=0, atol=1e-5)
    save(lm, tmp_path / "again")
    with torch.no_grad():
        again = load(tmp_path / "again")
        assert torch.equal(again.logits(again.hidden(IDS, Segments.of(LENGTHS))), ours)


@pytest.mark.parametrize("trap", [{"use_cache": True}, {"use_cache": False, "attention_mask": torch.ones(1, 24)}])
@pytest.mark.parametrize("family", ["llama", "deepseek_v3"])
def test_where_transformers_lets_packed_samples_see_each_other_ours_stay_apart(
    toy_folder, toy_tokenizer, tmp_path, family, trap
):
    """Its default cache, and a mask of all ones, undo what the position ids say, without a word."""
    folder = toy_folder
    if family == "llama":
        folder = folder_of(LlamaConfig(**SMALL, vocab_size=len(toy_tokenizer)), toy_tokenizer, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")
    lengths = [12, 1, 11]
    ids = torch.randint(len(toy_tokenizer), (sum(lengths),), generator=torch.Generator().manual_seed(0))
    segments = Segments.of(lengths)
    with torch.no_grad():
        alone = torch.cat([theirs(input_ids=part[None]).logits[0] for part in ids.split(lengths)])
        trapped = theirs(input_ids=ids[None], position_ids=segments.position_ids[None], **trap).logits[0]
        lm = load(folder)
        ours = lm.logits(lm.hidden(ids, segments))
    assert (trapped - alone).abs().max() > 1e-3
    torch.testing.assert_close(ours, alone, rtol=0, atol=1e-5)


def test_a_family_whose_samples_see_each_other_is_refused(toy_tokenizer, tmp_path):
    """A state-space model carries its state from one sample into the next, whatever the boundaries."""
    config = MambaConfig(vocab_size=len(toy_tokenizer), hidden_size=32, num_hidden_layers=2)
    with pytest.raises(UserError, match="samples packed in one row must not see each other") as raised:
        load(folder_of(config, toy_tokenizer, tmp_path))
    assert "`mamba`: states that differ by 0." in raised.value.got


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(toy_tokenizer, tmp_path):
    config = LlamaConfig(**SMALL, vocab_size=len(toy_tokenizer) - 1)
    with pytest.raises(UserError, match="an embedding for every token") as raised:
        load(folder_of(config, toy_tokenizer, tmp_path))
    assert f"{len(toy_tokenizer)} tokens and {len(toy_tokenizer) - 1} embeddings" in raised.value.got


def test_a_name_that_is_no_model_is_refused(tmp_path, toy_folder):
    assert find(str(toy_folder)) == toy_folder
    with pytest.raises(UserError, match="a model is") as raised:
        find(str(tmp_path))
    assert str(tmp_path) in raised.value.got
    assert "tiny-v3" in raised.value.remedy
