"""Names and tensors of a model folder, one file or many, safetensors or pickles."""

import json

import pytest
import torch
from safetensors.torch import save_file

from afterbase.core.errors import UserError
from afterbase.model.tensors import read_tensors, tensor_names

TENSORS = {name: torch.arange(6.0).view(2, 3) * i for i, name in enumerate(("b.weight", "a.weight", "c"))}


def one_safetensors(folder):
    save_file(TENSORS, folder / "model.safetensors")


def two_safetensors(folder):
    shards(folder, "model.safetensors", save_file)


def one_pickle(folder):
    torch.save(TENSORS, folder / "pytorch_model.bin")


def two_pickles(folder):
    shards(folder, "pytorch_model.bin", torch.save)


def shards(folder, whole, write):
    places = {name: f"part-{i % 2}-{whole}" for i, name in enumerate(TENSORS)}
    for file in set(places.values()):
        write({name: t for name, t in TENSORS.items() if places[name] == file}, folder / file)
    (folder / f"{whole}.index.json").write_text(json.dumps({"weight_map": places}))


@pytest.mark.parametrize("write", [one_safetensors, two_safetensors, one_pickle, two_pickles])
def test_every_shape_of_folder_is_read(write, tmp_path):
    write(tmp_path)
    assert tensor_names(tmp_path) == ["a.weight", "b.weight", "c"]
    found = read_tensors(tmp_path, lambda name: name != "c")
    assert sorted(found) == ["a.weight", "b.weight"]
    assert all(torch.equal(found[name], TENSORS[name]) for name in found)


def test_safetensors_go_before_pickles(tmp_path):
    one_safetensors(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not to be read")
    assert tensor_names(tmp_path) == ["a.weight", "b.weight", "c"]


def test_no_weights_are_an_error(tmp_path):
    with pytest.raises(UserError, match="holds weights"):
        tensor_names(tmp_path)


def test_a_file_that_is_no_pickle_is_an_error(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="are tensors and nothing that would have to be run"):
        tensor_names(tmp_path)


def test_a_file_that_was_cut_off_is_an_error(tmp_path):
    whole = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(100)}, whole)
    whole.write_bytes(whole.read_bytes()[:-8])
    for read in (tensor_names, lambda folder: read_tensors(folder, lambda _: True)):
        with pytest.raises(UserError, match="holds its weights whole"):
            read(tmp_path)
