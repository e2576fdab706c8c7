"""A model folder that cannot be trained is refused by its config, its tokenizer and the heads of its files."""

import json
import shutil
from pathlib import Path

import pytest
import transformers as hf
from safetensors.torch import load_file, save_file

from afterbase.core.errors import UserError, UserErrors
from afterbase.data import base_model_checks
from afterbase.data.base_model_checks import refuse_unfit
from afterbase.model import tensors
from zoo import WIDTHS, WORKING, smallest, working, write


@pytest.mark.parametrize("kind", WORKING)
def test_families_that_work_pass(kind, toy_tokenizer, tmp_path):
    refuse_unfit(working(kind, tmp_path / "model", toy_tokenizer))


@pytest.mark.parametrize("options", [{"safe_serialization": True, "max_shard_size": "20KB"}, {}])
def test_no_weight_is_read(options, toy_tokenizer, tmp_path, monkeypatch):
    folder = working("qwen3_moe", tmp_path / "model", toy_tokenizer, **options)
    monkeypatch.setattr(tensors, "_read", lambda *_: pytest.fail("weights were read"))
    refuse_unfit(folder)


def changed(folder: Path, change) -> Path:
    """The folder with other weights."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


NORM, HEAD = "model.layers.1.input_layernorm.weight", "lm_head.weight"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop(NORM), f"1 missing, such as `{NORM}`"),
        (lambda w: w.update({NORM: w[NORM][:-1].clone()}), f"1 of another shape, such as `{NORM}`"),
        (
            lambda w: [w.pop(HEAD), w.update({NORM: w[NORM][:-1].clone()})],
            f"1 missing, such as `{HEAD}`, 1 of another shape, such as `{NORM}`",
        ),
    ],
)
def test_weights_that_are_not_those_of_the_model_are_told(change, told, toy_tokenizer, tmp_path):
    folder = changed(working("llama", tmp_path / "model", toy_tokenizer), change)
    with pytest.raises(UserError, match="holds every weight") as caught:
        refuse_unfit(folder)
    assert caught.value.got.startswith(f"{folder}: {told}")


def test_experts_of_which_one_has_another_shape_are_told(toy_tokenizer, tmp_path):
    """transformers joins them to one tensor, which fails."""
    folder = working("qwen3_moe", tmp_path / "model", toy_tokenizer)
    name = "model.layers.0.mlp.experts.1.down_proj.weight"
    changed(folder, lambda weights: weights.update({name: weights[name][:-1].clone()}))
    with pytest.raises(UserError, match="holds every weight") as caught:
        refuse_unfit(folder)
    assert "of another shape" in caught.value.got


def test_weights_that_are_cut_off_are_told_with_the_file(toy_tokenizer, tmp_path):
    folder = working("llama", tmp_path / "model", toy_tokenizer)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="weights whole") as caught:
        refuse_unfit(folder)
    assert str(file) in caught.value.got


def test_a_folder_without_a_tokenizer_or_with_a_larger_one_is_told(toy_tokenizer, tmp_path):
    config = hf.LlamaConfig(**WIDTHS, vocab_size=len(toy_tokenizer) - 1)
    folder = write(tmp_path / "small", config, toy_tokenizer)
    with pytest.raises(UserError, match="an embedding for every token") as caught:
        refuse_unfit(folder)
    assert str(folder) in caught.value.got
    for file in folder.glob("token*"):
        file.unlink()
    with pytest.raises(UserError, match="has its tokenizer"):
        refuse_unfit(folder)


def test_a_family_that_cannot_be_built_is_refused(toy_tokenizer, tmp_path, monkeypatch):
    folder = working("llama", tmp_path / "model", toy_tokenizer)

    def broken(model):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(base_model_checks, "get_model_conversion_mapping", broken)
    with pytest.raises(UserError, match="decoder-only") as caught:
        refuse_unfit(folder)
    assert "no such thing" in caught.value.got


def test_an_encoder_is_refused_by_its_config_alone(toy_tokenizer, tmp_path):
    folder = write(tmp_path / "bert", smallest("bert", len(toy_tokenizer)), toy_tokenizer)
    shutil.move(folder / "model.safetensors", tmp_path / "elsewhere")
    with pytest.raises(UserError, match="decoder-only") as caught:
        refuse_unfit(folder)
    assert "`bert`: an encoder alone" in caught.value.got
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "is_decoder": True}))
    with pytest.raises(UserError, match="holds weights"):
        refuse_unfit(folder)


def test_a_reward_model_is_no_language_model(toy_tokenizer, tmp_path):
    config = hf.LlamaConfig(**WIDTHS, vocab_size=len(toy_tokenizer))
    config.num_labels = 1
    hf.LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    toy_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="holds every weight") as caught:
        refuse_unfit(tmp_path)
    assert "1 missing, such as `lm_head.weight`" in caught.value.got


def test_several_things_are_told_at_once(toy_tokenizer, tmp_path):
    folder = changed(working("llama", tmp_path / "model", toy_tokenizer), lambda weights: weights.pop(NORM))
    for file in folder.glob("token*"):
        file.unlink()
    with pytest.raises(UserErrors) as caught:
        refuse_unfit(folder)
    assert [error.rule.split()[-1] for error in caught.value.errors] == ["shape", "tokenizer"]
