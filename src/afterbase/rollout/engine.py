"""What every rollout engine takes and gives: token ids in; token ids, log-probabilities and a finish reason out.

Text is a view that the caller makes. The policy is softmax(logits / T), in the engine and in the trainer alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class FinishReason(StrEnum):
    """Why a completion ended: its stop token, or the length limit. A truncated answer is an outcome, not an error."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample: temperature 0 is greedy; lengths in tokens, the stop token included."""

    temperature: float
    max_new_tokens: int
    stop_token_ids: tuple[int, ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One sampled answer.

    `token_ids` holds the stop token if one was sampled; `logps` has one natural log-probability a token, under
    softmax(logits / T), T = 1 when greedy.
    """

    token_ids: list[int]
    logps: list[float]
    finish: FinishReason
    prompt_index: int
    sample_index: int


class Engine(Protocol):
    """Samples completions; the randomness of one depends only on (seed, prompt, sample index)."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        samples: int,
        sampling: Sampling,
        on_finished: Callable[[Completion], None] | None = None,
    ) -> list[list[Completion]]:
        """`samples` completions of each prompt, as [prompt][sample]."""
        ...
