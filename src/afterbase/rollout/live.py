"""The running batch of a server: requests join and leave at any step, each with settings of its own.

One thread computes. It samples what `LocalEngine` samples for the same seed, prompt and sample index, and gives every
token as it is drawn. Not covered: speculative decoding, and weights that change while the server runs.
"""

import queue
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from afterbase.core.errors import UserError
from afterbase.model.decoder import decoder_for
from afterbase.rollout.batch import PREFILL_TOKENS
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.sampler import greedy, sample, uniforms


@dataclass(frozen=True, kw_only=True)
class Token:
    """One sampled token; `logp` and the `top` most probable tokens under softmax(logits / T), T = 1 when greedy."""

    id: int
    logp: float
    top: tuple[tuple[int, float], ...]


Event = Token | FinishReason | Exception
"""A token; or the end, with its reason; or the end by an error, which no further event follows."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`samples` answers to a prompt, with the `top` most probable tokens at each place.

    `send` is called in the computing thread with a sample's index and its next event, and must not block; `unwanted`
    is asked between steps whether a sample has lost its reader.
    """

    prompt: tuple[int, ...]
    samples: int
    sampling: Sampling
    top: int
    send: Callable[[int, Event], None]
    unwanted: Callable[[int], bool]


@dataclass
class _Waiting:
    """A request whose samples from `sample` on have not started; its prompt is read when its turn comes."""

    key: int
    wanted: Wanted
    sample: int = 0
    read: tuple[Tensor, Tensor] | None = None


@dataclass
class _Row:
    wanted: Wanted
    sample: int
    uniforms: np.ndarray
    length: int = 0
    last: int = 0

    @property
    def temperature(self) -> float:
        return self.wanted.sampling.temperature


class LiveEngine:
    """Continuous batching of a model that `LocalEngine` takes, for requests that come one by one.

    At most `max_rows` samples run at once, and no more than `token_budget` holds in their widest case, a prompt and an
    answer of `context` tokens each. Raises UserError where that is less than one, and for other model families.
    """

    def __init__(self, model: PreTrainedModel, *, max_rows: int, token_budget: int) -> None:
        self.context: int = model.config.max_position_embeddings
        self._capacity = min(max_rows, token_budget // (2 * self.context))
        if self._capacity < 1:
            raise UserError(
                "a server needs room for one prompt and one answer",
                got=f"max_rows {max_rows}, token_budget {token_budget}, a context of {self.context} tokens",
                remedy=f"use max_rows of 1 or more, and a token_budget of {2 * self.context} or more",
            )
        self._decoder = decoder_for(model, int8=False)
        self._inbox: queue.SimpleQueue[Wanted | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._serve, name="engine", daemon=True)
        self._keys = 0
        self._forget()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its present step; what is unfinished hears of no end."""
        self._inbox.put(None)
        self._thread.join()

    def submit(self, wanted: Wanted) -> None:
        """Queue a request; from any thread. Prompt and answer have to fit in the context."""
        assert 0 < len(wanted.prompt) <= self.context - wanted.sampling.max_new_tokens
        self._inbox.put(wanted)

    def _forget(self) -> None:
        self._cache = self._decoder.new_cache(rows=self._capacity, prompt_width=self.context, own_width=self.context)
        self._rows: list[_Row] = []
        self._waiting: deque[_Waiting] = deque()

    def _serve(self) -> None:
        while self._take():
            try:
                self._step()
            except Exception as error:
                self._fail(error)

    def _take(self) -> bool:
        """Take what has come in, waiting for it where there is nothing else to do; False once it is time to go."""
        while True:
            try:
                wanted = self._inbox.get(block=not (self._rows or self._waiting))
            except queue.Empty:
                return True
            if wanted is None:
                return False
            self._waiting.append(_Waiting(key=self._keys, wanted=wanted))
            self._keys += 1

    def _fail(self, error: Exception) -> None:
        """Whoever waits is told; those who come later may have better luck."""
        started = [(row.wanted, row.sample) for row in self._rows]
        waiting = [(w.wanted, index) for w in self._waiting for index in range(w.sample, w.wanted.samples)]
        self._forget()
        for wanted, index in started + waiting:
            wanted.send(index, error)

    @torch.inference_mode()
    def _step(self) -> None:
        self._drop_unwanted()
        self._admit()
        if self._rows:
            last_N = torch.tensor([row.last for row in self._rows])
            states = self._decoder.feed(last_N, self._cache)
            self._extend(self._rows, self._decoder.logits(states.hidden_MX))

    def _drop_unwanted(self) -> None:
        self._retire([FinishReason.ABORT if row.wanted.unwanted(row.sample) else None for row in self._rows])
        for waiting in list(self._waiting):
            left = range(waiting.sample, waiting.wanted.samples)
            if all(waiting.wanted.unwanted(index) for index in left):
                self._waiting.remove(waiting)
                for index in left:
                    waiting.wanted.send(index, FinishReason.ABORT)

    def _admit(self) -> None:
        """Start waiting samples in the free rows; their first token follows from the prompt alone."""
        first, logits = len(self._rows), []
        while self._waiting and len(self._rows) < self._capacity:
            head = self._waiting[0]
            if head.read is None:
                self._prefill()
            assert head.read is not None
            cached_LWD, logits_V = head.read
            self._cache.add_rows(1, key=head.key, cached_LWD=cached_LWD)
            self._rows.append(_row(head.wanted, head.sample))
            logits.append(logits_V)
            head.sample += 1
            if head.sample == head.wanted.samples:
                self._waiting.popleft()
        if logits:
            self._extend(self._rows[first:], torch.stack(logits))

    def _prefill(self) -> None:
        """Read the next prompts in one pass: a bounded number of tokens, and no more prompts than rows."""
        batch: list[_Waiting] = []
        for waiting in self._waiting:
            tokens = sum(len(w.wanted.prompt) for w in [*batch, waiting])
            if batch and (tokens > PREFILL_TOKENS or len(batch) == self._capacity):
                break
            if waiting.read is None:
                batch.append(waiting)
        prompts = [waiting.wanted.prompt for waiting in batch]
        cached, states = self._decoder.read(prompts)
        last_P = torch.tensor([len(prompt) for prompt in prompts]).cumsum(0) - 1
        logits_PV = self._decoder.logits(states.hidden_MX[last_P])
        for waiting, cached_LWD, logits_V in zip(batch, cached, logits_PV, strict=True):
            waiting.read = (cached_LWD, logits_V)

    def _extend(self, rows: list[_Row], logits_NV: Tensor) -> None:
        """One more token for each of the last rows; those that end with it leave."""
        if not torch.isfinite(logits_NV.sum()):
            raise ArithmeticError("the model gives infinite or not-a-number logits")
        scaled_NV = logits_NV / torch.tensor([[row.temperature or 1.0] for row in rows])
        tokens_N, logps_N = _draw(rows, scaled_NV)
        finished: list[FinishReason | None] = [None] * (len(self._rows) - len(rows))
        for row, token, logp, scaled_V in zip(rows, tokens_N.tolist(), logps_N.tolist(), scaled_NV, strict=True):
            row.length, row.last = row.length + 1, token
            row.wanted.send(row.sample, Token(id=token, logp=logp, top=_top(scaled_V, row.wanted.top)))
            finished.append(_finish(row))
        self._retire(finished)

    def _retire(self, finished: list[FinishReason | None]) -> None:
        if all(finish is None for finish in finished):
            return
        for row, finish in zip(self._rows, finished, strict=True):
            if finish is not None:
                row.wanted.send(row.sample, finish)
        left = [index for index, finish in enumerate(finished) if finish is None]
        self._rows = [self._rows[index] for index in left]
        self._cache.keep_rows(np.array(left, dtype=np.int64))


def _row(wanted: Wanted, index: int) -> _Row:
    sampling = wanted.sampling
    count = sampling.max_new_tokens if sampling.temperature > 0 else 0
    return _Row(wanted, index, uniforms(seed=sampling.seed, prompt=wanted.prompt, sample=index, count=count))


def _draw(rows: list[_Row], scaled_NV: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and log-probabilities: the most probable token where the temperature is 0, a drawn one elsewhere."""
    tokens_N, logps_N = torch.empty(len(rows), dtype=torch.int64), torch.empty(len(rows))
    drawn = [index for index, row in enumerate(rows) if row.temperature > 0]
    if drawn:
        uniforms_N = torch.tensor([rows[i].uniforms[rows[i].length] for i in drawn], dtype=torch.float64)
        tokens_N[drawn], logps_N[drawn] = sample(scaled_NV[drawn], uniforms_N, temperature=1.0)
    chosen = [index for index, row in enumerate(rows) if row.temperature == 0]
    if chosen:
        tokens_N[chosen], logps_N[chosen] = greedy(scaled_NV[chosen])
    return tokens_N, logps_N


def _top(scaled_V: Tensor, count: int) -> tuple[tuple[int, float], ...]:
    if count == 0:
        return ()
    logps, ids = scaled_V.log_softmax(-1).topk(min(count, len(scaled_V)))
    return tuple(zip(ids.tolist(), logps.tolist(), strict=True))


def _finish(row: _Row) -> FinishReason | None:
    sampling = row.wanted.sampling
    if row.last in sampling.stop_token_ids:
        return FinishReason.STOP
    return FinishReason.LENGTH if row.length == sampling.max_new_tokens else None
