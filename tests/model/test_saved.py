"""A folder that transformers would read as another model is refused, and what a model does not use is kept."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from afterbase.core.errors import UserError
from afterbase.model import load as loading
from afterbase.model.attention import Segments
from afterbase.model.load import load, save
from afterbase.model.tensors import read_tensors, tensor_names
from zoo import working


def breaking(monkeypatch, change) -> None:
    """From now on what is saved is saved without what `change` takes away."""
    whole = PreTrainedModel.save_pretrained

    def broken(self, folder, **options):
        whole(self, folder, **options)
        change(folder)

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", broken)


def without_a_layer(folder) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: t for name, t in tensors.items() if "layers.1.mlp" not in name}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def rounded(folder) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: t.bfloat16().float() for name, t in tensors.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


def with_one_more(folder) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {**tensors, "model.surplus.weight": torch.ones(2)}, folder / "model.safetensors", metadata={"format": "pt"}
    )


def with_another_scale(folder) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "logit_scale": 0.5}))


BROKEN = {
    "a layer is lacking": (without_a_layer, "is missing"),
    "weights are rounded": (rounded, "differs"),
    "a weight is nobody's": (with_one_more, "`model.surplus.weight` belongs to nothing"),
    "the config is another": (with_another_scale, "log-probabilities that differ by"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_refused(kind, toy_tokenizer, tmp_path, monkeypatch):
    lm = load(working("cohere, scale", tmp_path / "model", toy_tokenizer))
    change, found = BROKEN[kind]
    breaking(monkeypatch, change)
    with pytest.raises(UserError, match="is the model that was trained") as raised:
        save(lm, tmp_path / "out")
    assert found in raised.value.got


def test_a_moment_that_has_passed_is_compared_by_its_tensors(toy_tokenizer, tmp_path, monkeypatch):
    lm = load(working("llama", tmp_path / "model", toy_tokenizer))
    state = {name: tensor.clone() for name, tensor in lm.modules().state_dict().items()}
    with torch.no_grad():
        next(lm.model.parameters()).add_(1.0)
    save(lm, tmp_path / "then", state=state)
    again = load(tmp_path / "then").modules().state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())
    breaking(monkeypatch, rounded)
    with pytest.raises(UserError, match="is the model that was trained"):
        save(lm, tmp_path / "broken", state=state)


def test_a_folder_without_all_weights_is_not_loaded(toy_tokenizer, tmp_path):
    folder = working("llama", tmp_path / "model", toy_tokenizer)
    without_a_layer(folder)
    with pytest.raises(UserError, match="holds every weight") as raised:
        load(folder)
    assert "3 missing" in raised.value.got


@pytest.mark.parametrize("sharded", [False, True])
def test_another_familys_prediction_weights_are_kept_byte_for_byte(toy_tokenizer, tmp_path, sharded, monkeypatch):
    """GLM-4-MoE has them at the layer after the last; transformers reads over them and writes them no more."""
    folder = working("glm4_moe", tmp_path / "model", toy_tokenizer)
    config = json.loads((folder / "config.json").read_text())
    layers = 92  # where GLM-4.5's pattern expects them
    config["num_nextn_predict_layers"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(3)
    names = [f"model.layers.{layers}.{name}" for name in ("eh_proj.weight", "mlp.experts.0.gate_proj.weight")]
    own = {name: torch.randn(4, 6, generator=generator).bfloat16() for name in names}
    save_file(load_file(folder / "model.safetensors") | own, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.warns(UserWarning, match="2 weights in .* not trained"):
        lm = load(folder)
    if sharded:
        monkeypatch.setattr(loading, "_LARGEST_FILE", "20KB")
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.add_(0.01)
    save(lm, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors.index.json").is_file() == sharded
    there = read_tensors(tmp_path / "out", own.__contains__)
    assert {name: (t.dtype, t.tolist()) for name, t in there.items()} == {
        n: (t.dtype, t.tolist()) for n, t in own.items()
    }
    with pytest.warns(UserWarning, match="2 weights"):
        again = load(tmp_path / "out")
    assert again.untrained is not None
    assert set(again.untrained.names) == set(names)


def test_files_of_a_size_are_written_and_read_with_the_prediction_module(toy_lm, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "_LARGEST_FILE", "30KB")
    save(toy_lm, tmp_path / "parts")
    save_whole = tmp_path / "whole"
    monkeypatch.setattr(loading, "_LARGEST_FILE", "50GB")
    save(toy_lm, save_whole)
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 2
    assert tensor_names(tmp_path / "parts") == tensor_names(save_whole)
    assert any("shared_head" in name for name in tensor_names(tmp_path / "parts"))
    assert same_logits(load(tmp_path / "parts"), toy_lm)


@pytest.mark.parametrize("parts", [1, 2])
def test_pickled_weights_are_read_with_the_prediction_module(toy_lm, toy_folder, parts):
    tensors = load_file(toy_folder / "model.safetensors")
    (toy_folder / "model.safetensors").unlink()
    names = sorted(tensors)
    if parts == 1:
        torch.save(tensors, toy_folder / "pytorch_model.bin")
    else:
        files = {f"pytorch_model-{i}.bin": names[i::2] for i in range(2)}
        for file, own in files.items():
            torch.save({name: tensors[name] for name in own}, toy_folder / file)
        index = {"metadata": {}, "weight_map": {name: file for file, own in files.items() for name in own}}
        (toy_folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert same_logits(load(toy_folder), toy_lm)


class Harmful:
    def __reduce__(self):
        return print, ("code of a weight file was run",)


def test_a_pickle_that_runs_code_is_refused(toy_folder, capsys):
    (toy_folder / "model.safetensors").unlink()
    torch.save({"model.embed_tokens.weight": Harmful()}, toy_folder / "pytorch_model.bin")
    with pytest.raises(UserError):
        load(toy_folder)
    assert "was run" not in capsys.readouterr().out


def test_a_folder_without_weights_is_refused(toy_folder):
    (toy_folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="holds weights"):
        load(toy_folder)


@torch.no_grad()
def same_logits(a, b) -> bool:
    ids, segments = torch.arange(10), Segments.of([6, 4])
    of_a, of_b = (lm.hidden(ids, segments) for lm in (a, b))
    drafts = [lm.logits(lm.mtp_hidden(ids, h, segments)) for lm, h in ((a, of_a), (b, of_b))]
    return torch.equal(a.logits(of_a), b.logits(of_b)) and torch.equal(*drafts)


def test_generation_settings_stay_with_the_model(toy_tokenizer, tmp_path):
    folder = working("llama", tmp_path / "model", toy_tokenizer)
    settings = {"eos_token_id": [2, 5], "temperature": 0.6, "top_p": 0.95, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    save(load(folder), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    stops = settings.pop("eos_token_id")
    assert {name: written[name] for name in settings} == settings
    assert set(written["eos_token_id"]) >= set(stops)
