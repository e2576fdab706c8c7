"""The device that a stage trains on."""

from typing import Literal

import torch

from afterbase.core.errors import UserError

Device = Literal["auto", "cpu", "cuda"]


def training_device(setting: Device, *, cpu: bool = False) -> torch.device:
    """Where a stage trains that is set to `setting`; `cpu`: a stage that can work on the CPU alone.

    Raises UserError where CUDA is asked for and cannot be had.

    >>> training_device("cpu").type
    'cpu'
    """
    if setting == "cuda" and (cpu or not torch.cuda.is_available()):
        raise UserError(
            "`device = cuda` needs a CUDA device, and a stage that can use one",
            got="a stage that samples on the CPU" if cpu else "no CUDA device that torch can use",
            remedy="set `device` to `auto` or `cpu`",
        )
    return torch.device("cuda" if setting != "cpu" and not cpu and torch.cuda.is_available() else "cpu")
