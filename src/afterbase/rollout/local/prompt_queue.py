"""The samples of a list of prompts, in its order; prompts are read ahead, several in one pass."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from afterbase.rollout.engine import Sampling
from afterbase.rollout.local.batch import Row
from afterbase.rollout.local.prefill import Prefilled

PREFILL_TOKENS = 4096

Reader = Callable[[Sequence[tuple[int, ...]]], list[Prefilled]]
"""Reads prompts in one pass."""


class PromptQueue:
    """`samples` rows of each prompt; a pass of `read` has `most` prompts at most."""

    def __init__(
        self,
        prompts: list[tuple[int, ...]],
        *,
        samples: int,
        sampling: Sampling,
        read: Reader,
        most: int,
    ) -> None:
        self._rows = deque(
            Row(prompt=prompt, sample=index, sampling=sampling) for prompt in prompts for index in range(samples)
        )
        self._prompts = prompts
        self._read = read
        self._most = most
        self._ready: deque[tuple[tuple[int, ...], Prefilled]] = deque()
        self._next = 0

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, count: int) -> Iterator[tuple[Prefilled, Row]]:
        """Up to `count` rows, each with its prompt, which is read only now, as it takes room."""
        for _ in range(min(count, len(self._rows))):
            row = self._rows.popleft()
            while not self._ready or self._ready[0][0] is not row.prompt:
                if self._ready:
                    self._ready.popleft()
                else:
                    self._read_ahead()
            yield self._ready[0][1], row

    def rest(self) -> Iterator[Row]:
        """Those that will not run."""
        while self._rows:
            yield self._rows.popleft()

    def _read_ahead(self) -> None:
        end, tokens = self._next, 0
        most = min(len(self._prompts), end + self._most)
        while end < most and (tokens == 0 or tokens + len(self._prompts[end]) <= PREFILL_TOKENS):
            tokens += len(self._prompts[end])
            end += 1
        prompts = self._prompts[self._next : end]
        self._ready.extend(zip(prompts, self._read(prompts), strict=True))
        self._next = end
