"""What every rollout engine takes and gives: token ids in; token ids, log-probabilities and a finish reason out.

Text is a view that the caller makes. The policy is softmax(logits / T), in the engine and in the trainer alike.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from afterbase.core.errors import UserError

COOLEST = 1e-4  # the lowest temperature but 0: below, logits / T leave float32


class FinishReason(StrEnum):
    """Why a completion ended: its stop token, the length limit, or the caller, who wanted no more of it.

    A truncated answer is an outcome, not an error.
    """

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample: temperature 0 is greedy; lengths in tokens, the stop token included.

    With `top_p` below 1, from the smallest set of most probable tokens whose mass reaches it (a greedy answer does not
    ask). With `top_logps` the local engine also gives that many most probable tokens of each place. Raises UserError
    for a `top_p` outside of (0, 1], and for a temperature that is neither 0 nor 1e-4 or more.
    """

    temperature: float
    max_new_tokens: int
    stop_token_ids: tuple[int, ...]
    seed: int
    top_p: float = 1.0
    top_logps: int = 0

    def __post_init__(self) -> None:
        if self.temperature != 0 and not COOLEST <= self.temperature < math.inf:
            raise UserError(
                f"a temperature is 0, for the most probable token, or {COOLEST} and more",
                got=f"temperature = {self.temperature}",
                remedy="use 0 for greedy answers",
            )
        if not 0.0 < self.top_p <= 1.0:
            raise UserError(
                "top_p is a share of the probability, above 0 and at most 1",
                got=f"top_p = {self.top_p}",
                remedy="use 1.0 to sample from all tokens",
            )

    @property
    def keeps_part(self) -> bool:
        """Whether tokens are drawn from a part of the vocabulary, which completions then name."""
        return self.top_p < 1.0 and self.temperature > 0.0


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One sampled answer.

    `token_ids` holds the stop token if one was sampled; `logps` has one natural log-probability a token, under
    softmax(logits / T), T = 1 when greedy. `weight_version` says which weights sampled it. Where the engine was asked
    for it, `routed_experts` (positions, MoE layers, K) are the experts of every position of prompt and answer that was
    read, which is all but the last. With top_p below 1 the log-probabilities are those within the tokens kept, which
    are the bits of `kept_tokens`, uint8 (tokens, ceil(V / 8)), the lowest bit first. `top_logps` has (token id,
    log-probability) of the most probable tokens at each place, where they were asked for.
    """

    token_ids: list[int]
    logps: list[float]
    finish: FinishReason
    prompt_index: int
    sample_index: int
    weight_version: int = 0
    routed_experts: np.ndarray | None = None
    kept_tokens: np.ndarray | None = None
    top_logps: list[list[tuple[int, float]]] | None = None


class Engine(Protocol):
    """Samples completions; the randomness of one depends only on (seed, prompt, sample index)."""

    def sync(self, version: int) -> None:
        """Take the trained model's present weights; completions sampled from now on carry `version`."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds outside of this process."""

    def stream(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        samples: int,
        sampling: Sampling,
        abort: Callable[[], bool] | None = None,
    ) -> Iterator[Completion]:
        """`samples` completions of each prompt, each as it ends.

        `abort` is asked between steps; once it says so, everything unfinished ends with what it has.
        """
        ...

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        samples: int,
        sampling: Sampling,
        on_finished: Callable[[Completion], None] | None = None,
    ) -> list[list[Completion]]:
        """`samples` completions of each prompt, as [prompt][sample]; `on_finished` sees each as it ends."""
        finished: list[dict[int, Completion]] = [{} for _ in prompts]
        for completion in self.stream(prompts, samples=samples, sampling=sampling):
            finished[completion.prompt_index][completion.sample_index] = completion
            if on_finished is not None:
                on_finished(completion)
        return [[group[index] for index in range(samples)] for group in finished]

    def groups(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        samples: int,
        sampling: Sampling,
        abort: Callable[[], bool] | None = None,
    ) -> Iterator[list[Completion]]:
        """The completions of one prompt, in the order of their sample index, as soon as the last of them has ended."""
        running: dict[int, list[Completion]] = {}
        for completion in self.stream(prompts, samples=samples, sampling=sampling, abort=abort):
            group = running.setdefault(completion.prompt_index, [])
            group.append(completion)
            if len(group) == samples:
                yield sorted(running.pop(completion.prompt_index), key=lambda c: c.sample_index)
