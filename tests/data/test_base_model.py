"""The base model in the store: known by its content, out of reach of later changes."""

import shutil

import pytest

from afterbase.core.store import Store, folder_digest
from afterbase.data.base_model import import_base
from afterbase.model.load import load


@pytest.fixture
def folder(tmp_path):
    """A folder as a model lies on a disk, with a folder inside."""
    (tmp_path / "model/extra").mkdir(parents=True)
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/extra/model.safetensors").write_bytes(b"weights")
    return tmp_path / "model"


def test_payload_is_the_folder(tmp_path, folder):
    base = import_base(Store(tmp_path / "store"), folder)
    assert base.digest == folder_digest(folder)
    assert (base.payload / "extra/model.safetensors").read_bytes() == b"weights"
    assert base.manifest["inputs"] == {}


def test_same_content_elsewhere_is_the_same_base(tmp_path, folder):
    store = Store(tmp_path / "store")
    first = import_base(store, folder)
    shutil.copytree(folder, tmp_path / "moved")
    assert import_base(store, tmp_path / "moved") == first
    assert [record.cached for record in store.stages] == [False, True]


def test_changed_content_is_another_base_and_leaves_the_first_alone(tmp_path, folder):
    store = Store(tmp_path / "store")
    first = import_base(store, folder)
    (folder / "extra/model.safetensors").write_bytes(b"Weights")
    second = import_base(store, folder)
    assert first.key != second.key
    assert (first.payload / "extra/model.safetensors").read_bytes() == b"weights"


def test_linked_files_are_copied(tmp_path, folder):
    """As in the cache of the Hugging Face hub, whose snapshots are links."""
    (tmp_path / "blob").write_bytes(b"weights")
    (folder / "linked.safetensors").symlink_to(tmp_path / "blob")
    base = import_base(Store(tmp_path / "store"), folder)
    (tmp_path / "blob").unlink()
    assert (base.payload / "linked.safetensors").read_bytes() == b"weights"


def test_model_loads_from_its_artifact(tmp_path, toy_folder):
    base = import_base(Store(tmp_path / "store"), toy_folder)
    state = load(base.payload).modules().state_dict()
    original = load(toy_folder).modules().state_dict()
    assert state.keys() == original.keys()
    assert all((state[name] == original[name]).all() for name in state)
