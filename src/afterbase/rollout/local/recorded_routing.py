"""Recording which experts every position went to, so that the trainer can send it to the same ones."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import DeepseekV3Config


class Routing:
    """The experts of a batch's rows: of each one's prompt, and of its answer's tokens as they are read.

    Arrays are (positions, MoE layers, K), uint8 up to 256 experts and int16 beyond.
    """

    def __init__(self, config: DeepseekV3Config, *, rows: int, new_tokens: int) -> None:
        assert config.first_k_dense_replace is not None and config.n_routed_experts is not None
        assert config.num_experts_per_tok is not None
        layers = config.num_hidden_layers - config.first_k_dense_replace
        self._dtype = np.uint8 if config.n_routed_experts <= 256 else np.int16
        self._own = np.empty((rows, new_tokens, layers, config.num_experts_per_tok), dtype=self._dtype)
        self._prompts = np.empty(rows, dtype=object)

    def read(self, lengths: Sequence[int], experts: list[Tensor]) -> list[np.ndarray]:
        """One array a prompt out of the experts_MK of each layer, one prompt after another."""
        return np.split(self._joined(experts), np.cumsum(lengths)[:-1])

    def add_row(self, row: int, prompt: np.ndarray) -> None:
        self._prompts[row] = prompt

    def keep_rows(self, order: np.ndarray, *, width: int) -> None:
        """Row i becomes what row order[i] was, with answers of up to `width` tokens."""
        moved = np.flatnonzero(order != np.arange(len(order)))
        self._own[moved, :width] = self._own[order[moved], :width]
        self._prompts[moved] = self._prompts[order[moved]]

    def saw(self, column_N: np.ndarray, experts: list[Tensor]) -> None:
        """Take the experts of each row's tokens from `column_N` on; tokens taken back are overwritten later."""
        own = self._joined(experts).reshape(len(column_N), -1, *self._own.shape[2:])
        columns_NT = column_N[:, None] + np.arange(own.shape[1])
        self._own[np.arange(len(column_N))[:, None], columns_NT] = own

    def of(self, row: int, tokens: int) -> np.ndarray:
        """The row's prompt and the first `tokens` of its answer."""
        return np.concatenate((self._prompts[row], self._own[row, :tokens]))

    def _joined(self, experts: list[Tensor]) -> np.ndarray:
        return torch.stack(experts, dim=1).numpy().astype(self._dtype)
