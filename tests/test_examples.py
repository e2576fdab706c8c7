"""The examples run, and what they promise happens."""

import importlib.util
import statistics
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def _threads():
    """A run sets torch's threads for its process; give them back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def _example(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tiny_model_learns_its_own_problems_by_its_own_reward(tmp_path):
    solved = _example("own_problems").main(tmp_path, steps=10)
    assert len(solved) == 10
    assert statistics.fmean(solved[-4:]) > statistics.fmean(solved[:2]) + 0.05, solved
    assert (tmp_path / "trained/model.safetensors").is_file()
