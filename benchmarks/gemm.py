"""The machine's rate on float32 matrix products, and how many weights a model's products have."""

import time
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

SIZE = 4096


def gemm(threads: int) -> float:
    """GFLOP/s of the fastest of five large float32 matrix products."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, SIZE, SIZE)
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - start)
    return 2 * SIZE**3 / min(seconds[1:]) / 1e9


def weights(model: Path) -> tuple[int, int]:
    """Weights of the linear layers below the output layer, and in it; attention scores and norms are left out."""
    with torch.device("meta"):
        lm = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model))
    trunk = sum(m.weight.numel() for m in lm.base_model.modules() if isinstance(m, nn.Linear))
    return trunk, lm.get_output_embeddings().weight.numel()
