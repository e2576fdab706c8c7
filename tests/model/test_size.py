"""Parameters are counted from the heads of files: all tensors that are saved, and no others."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from afterbase.core.errors import UserError
from afterbase.core.temporary_folders import scratch_folder
from afterbase.model.size import active_parameter_count, parameter_count

SHAPES = st.lists(st.integers(1, 5), max_size=3)


@given(files=st.lists(st.lists(SHAPES, min_size=1, max_size=4), min_size=1, max_size=3))
def test_all_tensors_of_all_shards_are_counted(files: list[list[list[int]]]):
    with scratch_folder() as folder:
        for number, shapes in enumerate(files):
            tensors = {f"{number}.{at}": torch.zeros(shape) for at, shape in enumerate(shapes)}
            save_file(tensors, folder / f"model-{number}.safetensors", metadata={"format": "pt"})
        assert parameter_count(folder) == sum(math.prod(shape) for shapes in files for shape in shapes)


def test_pickled_weights_are_counted_by_their_size(tmp_path: Path):
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(2000))
    assert parameter_count(tmp_path) == 1000


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", b"\x09" * 99]
)
def test_a_file_that_is_no_safetensors_is_told(tmp_path: Path, content: bytes):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="whole") as refused:
        parameter_count(tmp_path)
    assert f"model.safetensors, {len(content)} bytes" in refused.value.got
    assert "git lfs pull" in refused.value.remedy


def test_of_routed_experts_those_of_one_token_are_active(tmp_path: Path):
    tensors = {f"layers.1.mlp.experts.{n}.up_proj.weight": torch.zeros(3, 4) for n in range(8)}
    tensors |= {"layers.1.mlp.shared_experts.up_proj.weight": torch.zeros(3, 4), "embed.weight": torch.zeros(5)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"n_routed_experts": 8, "num_experts_per_tok": 2}))
    assert active_parameter_count(tmp_path) == 2 * 12 + 12 + 5
    (tmp_path / "config.json").write_text("{}")  # no experts that tokens are routed to
    assert active_parameter_count(tmp_path) == parameter_count(tmp_path)
