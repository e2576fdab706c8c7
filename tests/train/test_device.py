"""Where a stage trains."""

import pytest
import torch

from afterbase.core.errors import UserError
from afterbase.train.device import training_device


@pytest.mark.parametrize("there", [False, True])
def test_auto_takes_cuda_where_it_is_there_and_the_stage_can_use_it(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert training_device("auto").type == ("cuda" if there else "cpu")
    assert training_device("auto", cpu=True).type == training_device("cpu").type == "cpu"


def test_cuda_that_cannot_be_had_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="needs a CUDA device") as raised:
        training_device("cuda")
    assert raised.value.got == "no CUDA device that torch can use"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training_device("cuda").type == "cuda"
    with pytest.raises(UserError, match="needs a CUDA device"):
        training_device("cuda", cpu=True)
