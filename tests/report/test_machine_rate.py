"""Rates that nothing has measured yet follow from parameters and from a matrix product."""

import pytest
import torch

from afterbase.report import machine_rate
from afterbase.report.machine_rate import estimated_rates, matmul_rate


def test_rates_follow_from_operations_a_parameter(monkeypatch):
    monkeypatch.setattr(machine_rate, "matmul_rate", lambda device, threads: 100e9)
    rates = estimated_rates(10_000_000, device="cpu", threads=2)
    assert rates.trained == pytest.approx(0.64 * 100e9 / (6 * 10e6))
    assert rates.generated == pytest.approx(0.5 * 100e9 / (2 * 10e6))
    for part in ("10.0M", "100 GFLOP/s", "2 threads", "measured now on this machine"):
        assert part in rates.source


def test_a_matrix_product_is_timed_and_threads_are_as_before():
    before = torch.get_num_threads()
    assert matmul_rate("cpu", threads=1, seconds=0.0) > 1e6
    assert torch.get_num_threads() == before
