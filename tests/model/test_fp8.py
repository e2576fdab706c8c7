"""Weights in fp8, as DeepSeek-V3 is released: loaded as the numbers that they stand for, trained, and saved as such."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GenerationConfig

from afterbase.core.errors import UserError
from afterbase.core.tokens import Tokenized
from afterbase.data.pack import pack
from afterbase.model.attention import Segments
from afterbase.model.fp8 import dequantise
from afterbase.model.load import load, save
from afterbase.model.tensors import read_tensors, tensor_names
from afterbase.train.sft import accumulate
from zoo import working

BLOCK = [10, 12]  # cuts blocks at every edge, as 128 does in `kv_a_proj_with_mqa`
CONFIG = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": BLOCK}


def quantise(folder: Path, *, shards: int = 1) -> dict[str, torch.Tensor]:
    """Write the folder's linear weights in fp8, as in DeepSeek's release; gives what each weight then stands for."""
    plain = load_file(folder / "model.safetensors")
    disk: dict[str, torch.Tensor] = {}
    meant = dict(plain)
    for name, weight in plain.items():
        disk[name] = weight
        if not name.endswith("_proj.weight") and "kv_a_proj" not in name:
            continue
        rows, columns = weight.shape
        quantised = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
        scales = torch.empty(-(-rows // BLOCK[0]), -(-columns // BLOCK[1]))
        meant[name] = torch.empty(rows, columns)
        for i in range(scales.shape[0]):
            for j in range(scales.shape[1]):
                here = (slice(i * BLOCK[0], (i + 1) * BLOCK[0]), slice(j * BLOCK[1], (j + 1) * BLOCK[1]))
                scales[i, j] = weight[here].abs().max() / 448
                quantised[here] = (weight[here] / scales[i, j]).to(torch.float8_e4m3fn)
                meant[name][here] = quantised[here].float() * scales[i, j]
        disk |= {name: quantised, f"{name}_scale_inv": scales}
    (folder / "model.safetensors").unlink()
    files = [f"model-{i}.safetensors" for i in range(shards)] if shards > 1 else ["model.safetensors"]
    places = {name: files[i % shards] for i, name in enumerate(disk)}  # scales are not beside their weights
    for file in files:
        save_file({n: t for n, t in disk.items() if places[n] == file}, folder / file, metadata={"format": "pt"})
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    edit(folder, CONFIG)
    return meant


def edit(folder: Path, quantisation: dict | None) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": quantisation}))


@pytest.mark.parametrize("shards", [1, 3])
def test_a_deepseek_v3_in_fp8_is_loaded_trained_and_saved_as_numbers(toy_folder, tmp_path, shards: int):
    GenerationConfig(eos_token_id=[2, 5]).save_pretrained(toy_folder)
    meant = quantise(toy_folder, shards=shards)
    assert any("_proj" in name and name.startswith("model.layers.3.") for name in meant), "the module's too"
    lm = load(toy_folder)
    assert lm.untrained is None
    assert lm.mtp is not None
    assert lm.model.generation_config is not None
    assert lm.model.generation_config.eos_token_id == [2, 5]
    save(lm, tmp_path / "plain")
    there = read_tensors(tmp_path / "plain", lambda name: True)
    assert there.keys() == meant.keys()
    assert all(torch.equal(there[name], meant[name]) for name in meant)
    sample = Tokenized([5, 6, 7, 9], [False, True, True, True])
    optimizer = torch.optim.AdamW(lm.modules().parameters(), lr=1e-2)
    before, _ = accumulate(lm, pack([sample], 64, seed=0), 0.1)
    optimizer.step()
    assert accumulate(lm, pack([sample], 64, seed=0), 0.1)[0] < before
    save(lm, tmp_path / "trained", dtype=torch.bfloat16)
    assert json.loads((tmp_path / "trained" / "config.json").read_text()).get("quantization_config") is None
    again = load(tmp_path / "trained", dtype=torch.bfloat16)
    assert again.mtp is not None
    for name, weight in again.modules().state_dict().items():
        assert torch.equal(weight, lm.modules().state_dict()[name].to(weight.dtype)), name
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "trained").dtype == torch.bfloat16


def test_so_is_another_family_in_fp8(toy_tokenizer, tmp_path):
    folder = working("qwen3_moe", tmp_path / "model", toy_tokenizer)
    meant = quantise(folder)
    lm = load(folder)
    save(lm, tmp_path / "plain")
    there = read_tensors(tmp_path / "plain", lambda name: True)
    assert all(torch.equal(there[name], meant[name]) for name in meant)
    ids = torch.arange(5, 12)
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")(ids[None]).logits[0]
        torch.testing.assert_close(lm.logits(lm.hidden(ids, Segments.of([7]))), theirs, rtol=0, atol=1e-4)


def test_what_stands_beside_the_model_is_read_as_numbers_too(toy_folder):
    """Another family's prediction module is saved as it came, but not in fp8, since the config no longer says so."""
    meant = quantise(toy_folder)
    (name,) = (name for name in meant if name.endswith("layers.3.eh_proj.weight"))
    found = read_tensors(toy_folder, lambda wanted: wanted == name)
    assert torch.equal(found[name], meant[name])
    assert tensor_names(toy_folder) == sorted(meant)


CHANGES = {
    "scheme": {**CONFIG, "activation_scheme": "static"},
    "no blocks": {"quant_method": "fp8"},
    "experts": {**CONFIG, "expert_dtype": "fp4"},
}


@pytest.mark.parametrize("kind", CHANGES)
def test_fp8_of_other_kinds_is_refused(toy_folder, kind):
    quantise(toy_folder)
    edit(toy_folder, CHANGES[kind])
    with pytest.raises(UserError, match="fp8 with a scale a block"):
        load(toy_folder)


def test_scales_of_other_blocks_and_scales_without_a_config_are_refused(toy_folder):
    """transformers would load the weights without their scales: other numbers, and no error."""
    quantise(toy_folder)
    edit(toy_folder, {**CONFIG, "weight_block_size": [8, 8]})
    with pytest.raises(UserError, match="scale for each block") as raised:
        load(toy_folder)
    assert "scales of torch.float32" in raised.value.got
    edit(toy_folder, None)
    with pytest.raises(UserError, match="scale for each block") as raised:
        load(toy_folder)
    assert "no `quantization_config`" in raised.value.got


def test_a_weight_without_scales_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": CONFIG}))
    weight = torch.ones(2, 2).to(torch.float8_e4m3fn)
    with pytest.raises(UserError, match="scale for each block") as raised:
        dequantise(tmp_path, {"a.weight": weight}, {})
    assert raised.value.got == "`a.weight`: no scales"
    found = dequantise(tmp_path, {"a": weight[None]}, {"a_scale_inv": torch.full((1, 1, 1), 3.0)})
    assert torch.equal(found["a"], torch.full((1, 2, 2), 3.0)), "experts in one tensor"
