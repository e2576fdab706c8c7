"""Freed memory is kept within, and given back after."""

import resource
from pathlib import Path

import pytest
import torch

from afterbase.train.memory import kept_memory

MIB = 64


def faults(mib: int = MIB) -> int:
    """Page faults of one large tensor's life."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(mib << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> float:
    """MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def test_a_step_reuses_what_the_one_before_it_freed():
    faults()
    again = faults()
    with kept_memory():
        faults()
        # Smaller, as what small objects take of a freed block's rim must not decide.
        assert faults(MIB - 1) < again / 10


def test_afterwards_memory_is_given_back():
    before = resident()
    with kept_memory():
        faults()
        assert resident() > before + MIB / 2
    assert resident() < before + MIB / 2


def test_so_is_what_a_decorated_function_holds_to_its_end():
    @kept_memory()
    def held() -> float:
        states = torch.ones(MIB << 18)
        torch.ones(MIB << 18)
        return resident() - states[0].item()

    before = resident()
    assert held() > before + MIB / 2
    assert resident() < before + MIB / 2


def test_so_it_is_where_a_step_fails():
    before = resident()
    with pytest.raises(KeyError), kept_memory():
        _fail()
    assert resident() < before + MIB / 2


def _fail() -> None:
    faults()
    raise KeyError
