"""Tokens a second that this machine may train and generate, estimated from operations where nothing is measured yet.

A token costs 6 operations a parameter to train on, forward and backward, and 2 to generate (arXiv 2001.08361, section
2.1: attention over the context is left out). How much of the machine's rate of matrix products training and generation
reach is what docs/benchmarks.md measured on CPUs (`sft_share_of_gemm`, `rollout_share_of_gemm`); small models reach
less.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_OF_TRAINING, _OF_GENERATION = 6, 2  # operations a parameter and token
_TRAINING_SHARE, _GENERATION_SHARE = 0.64, 0.5  # of the rate of matrix products
_WIDTH, _SECONDS = 1024, 0.2  # of the product that is timed, and for how long


@dataclass(frozen=True)
class Rates:
    """Tokens a second, and how they were found, as a sentence."""

    trained: float
    generated: float
    source: str


SMALL = Rates(5000.0, 6000.0, "5,000 tokens trained and 6,000 generated a second, as of a small model on two cores")
"""Where no model is there whose parameters could be counted."""


def estimated_rates(parameters: int, *, device: str, threads: int) -> Rates:
    """The rates for a model of so many parameters that a token goes through; times a matrix product for 0.2 s."""
    operations = matmul_rate(device, threads=threads)
    where = "CUDA device" if device == "cuda" else f"{threads} {'threads' if threads > 1 else 'thread'}"
    return Rates(
        trained=_TRAINING_SHARE * operations / (_OF_TRAINING * parameters),
        generated=_GENERATION_SHARE * operations / (_OF_GENERATION * parameters),
        source=(
            f"{_OF_TRAINING} operations a parameter ({parameters / 1e6:,.1f}M) and token trained, {_OF_GENERATION} a "
            f"token generated, at {_TRAINING_SHARE:.0%} and {_GENERATION_SHARE:.0%} of the {operations / 1e9:,.0f} "
            f"GFLOP/s of matrix products measured now on this machine ({where})"
        ),
    )


def matmul_rate(device: str, *, threads: int, seconds: float = _SECONDS) -> float:
    """Operations a second of a large float32 matrix product, on `device` (cpu or cuda)."""
    import torch  # here: a plan of what is all there needs no rate, nor a second for this import

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a = torch.ones(_WIDTH, _WIDTH, device=device)
        _product(a)  # the first one starts threads and kernels
        began, products = time.perf_counter(), 0
        while time.perf_counter() - began < seconds or not products:
            _product(a)
            products += 1
        return products * 2 * _WIDTH**3 / (time.perf_counter() - began)
    finally:
        torch.set_num_threads(before)


def _product(a: "torch.Tensor") -> None:
    import torch

    torch.mm(a, a)
    if a.is_cuda:
        torch.cuda.synchronize()
