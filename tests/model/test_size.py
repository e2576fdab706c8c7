"""Parameters are counted from the heads of files: all tensors that are saved, and no others."""

import math
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from afterbase.core.temporary_folders import scratch_folder
from afterbase.model.size import parameter_count

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
