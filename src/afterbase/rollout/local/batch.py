"""Continuous batching: the rows that are running, the queue behind them, and what a step does to them."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from afterbase.core.errors import UserError
from afterbase.model.decoding.decoder import Decoder
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.local.recorded_routing import Routing
from afterbase.rollout.local.speculative import Drafts, Opening
from afterbase.rollout.local.token_sampler import greedy, sample, sample_top_p, uniforms

PREFILL_TOKENS = 4096
# The cache reads less padding when long rows come first; moving them costs about two steps' attention.
SORT_STEPS = 32


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A finished row: `prompt` indexes the distinct prompts; the arrays are views, to be read before the next step."""

    prompt: int
    sample: int
    token_ids: np.ndarray
    logps: np.ndarray
    finish: FinishReason
    routed_experts: np.ndarray | None
    kept_tokens: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A prompt after prefill, waiting for its rows to start."""

    prompt: int
    cached_LWD: Tensor
    logits_V: Tensor
    opening: Opening | None
    routed: np.ndarray | None


class Batch:
    """Row state is held in arrays, in the order of the cache: row, then token of its answer.

    `drafts` and `routing` are there if the engine speculates and records; they see what the decoder does.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: list[tuple[int, ...]],
        *,
        samples: int,
        sampling: Sampling,
        rows: int,
        drafts: Drafts | None = None,
        routing: Routing | None = None,
    ) -> None:
        self._decoder = decoder
        self._prompts = prompts
        self._sampling = sampling
        self._capacity = rows
        self._drafts = drafts
        self._routing = routing
        self._cache = decoder.new_cache(rows=rows, prompt_width=len(prompts[0]), own_width=sampling.max_new_tokens)
        self._waiting = deque((prompt, index) for prompt in range(len(prompts)) for index in range(samples))
        self._read: deque[_Read] = deque()
        self._next_read = 0
        self._steps = 0
        self._prompt = np.zeros(rows, dtype=np.int64)
        self._sample = np.zeros(rows, dtype=np.int64)
        self._length = np.zeros(rows, dtype=np.int64)
        # One column more than an answer has: where a draft would come after the last token.
        columns, vocabulary = sampling.max_new_tokens + 1, decoder.model.config.get_text_config().vocab_size
        self._tokens = np.empty((rows, columns), dtype=np.int64)
        self._logps = np.empty((rows, columns), dtype=np.float32)
        self._uniforms = np.empty((rows, columns), dtype=np.float64)
        self._kept = np.empty((rows, columns, -(-vocabulary // 8) if sampling.keeps_part else 0), dtype=np.uint8)
        self._is_stop = np.zeros(vocabulary, dtype=bool)
        self._is_stop[list(sampling.stop_token_ids)] = True

    @torch.inference_mode()
    def run(self, abort: Callable[[], bool] | None) -> Iterator[Ended]:
        """Yield every row as it ends; when `abort` says so all others end, those that never started too."""
        while self._waiting or self._cache.rows:
            if abort is not None and abort():
                yield from self._abort()
                return
            while self._waiting and self._cache.rows < self._capacity:
                start = self._cache.rows
                self._extend(start, self._admit(), draft_N=None)
                yield from self._retire()
            if self._cache.rows:
                self._step()
                yield from self._retire()

    def _abort(self) -> Iterator[Ended]:
        for row in range(self._cache.rows):
            yield self._ended(row, FinishReason.ABORT)
        for prompt, index in self._waiting:
            self._prompt[0], self._sample[0], self._length[0] = prompt, index, 0
            yield self._ended(0, FinishReason.ABORT)

    def _ended(self, row: int, finish: FinishReason) -> Ended:
        length = self._length[row]
        return Ended(
            prompt=int(self._prompt[row]),
            sample=int(self._sample[row]),
            token_ids=self._tokens[row, :length],
            logps=self._logps[row, :length],
            finish=finish,
            routed_experts=None if self._routing is None or not length else self._routing.of(row, length - 1),
            kept_tokens=self._kept[row, :length] if self._sampling.keeps_part else None,
        )

    def _admit(self) -> Tensor:
        """Start waiting samples in the free rows; gives the logits_NV of their first tokens."""
        logits = []
        while self._waiting and self._cache.rows < self._capacity:
            prompt, index = self._waiting.popleft()
            while not self._read or self._read[0].prompt != prompt:
                if self._read:
                    self._read.popleft()
                else:
                    self._prefill()
            row, read = self._cache.rows, self._read[0]
            self._cache.add_rows(1, key=prompt, cached_LWD=read.cached_LWD)
            if self._drafts is not None and read.opening is not None:
                self._drafts.add_row(prompt, read.opening)
            if self._routing is not None and read.routed is not None:
                self._routing.add_row(row, read.routed)
            self._prompt[row], self._sample[row], self._length[row] = prompt, index, 0
            if self._sampling.temperature > 0:
                self._uniforms[row] = uniforms(
                    seed=self._sampling.seed,
                    prompt=self._prompts[prompt],
                    sample=index,
                    count=self._uniforms.shape[1],
                )
            logits.append(read.logits_V)
        return torch.stack(logits)

    def _prefill(self) -> None:
        """Read the next prompts in one pass: a bounded number of tokens, and no more prompts than rows."""
        end, tokens = self._next_read, 0
        most = min(len(self._prompts), end + self._capacity)
        while end < most and (tokens == 0 or tokens + len(self._prompts[end]) <= PREFILL_TOKENS):
            tokens += len(self._prompts[end])
            end += 1
        prompts = self._prompts[self._next_read : end]
        lengths = [len(prompt) for prompt in prompts]
        cached, states = self._decoder.read(prompts)
        logits = self._decoder.logits(states.hidden_MX[torch.tensor(lengths).cumsum(0) - 1])
        openings = None if self._drafts is None else self._drafts.read(prompts, states.hidden_MX)
        routed = None if self._routing is None else self._routing.read(lengths, states.experts)
        for offset in range(len(prompts)):
            self._read.append(
                _Read(
                    prompt=self._next_read + offset,
                    cached_LWD=cached[offset],
                    logits_V=logits[offset],
                    opening=None if openings is None else openings[offset],
                    routed=None if routed is None else routed[offset],
                )
            )
        self._next_read = end

    def _step(self) -> None:
        """Feed every row its last token, and with it a draft of the next one where that pays."""
        rows = np.arange(self._cache.rows)
        length = self._length[rows]
        fed, draft = self._tokens[rows, length - 1], None
        if self._drafts is not None and self._drafts.worthwhile():
            draft = self._drafts.propose(self._tokens, length, self._uniforms[rows, length])
            fed = np.stack((fed, draft), axis=1).reshape(-1)
        states = self._decoder.feed(torch.from_numpy(fed), self._cache)
        if self._routing is not None:
            self._routing.saw(length - 1, states.experts)
        if self._drafts is not None:
            self._drafts.saw(length - 1, states.hidden_MX)
        accepted = self._extend(0, self._decoder.logits(states.hidden_MX), draft)
        if self._drafts is not None:
            self._drafts.count(drafted=0 if draft is None else len(draft), accepted=accepted)

    def _extend(self, start: int, logits_MV: Tensor, draft_N: np.ndarray | None) -> int:
        """Append one token to every row from `start` on, and where it is the draft that was fed, the one after it.

        Gives the number of drafts that brought a token.
        """
        rows = np.arange(start, self._cache.rows)
        length = self._length[rows]
        place = rows[:, None], length[:, None] + np.arange(len(logits_MV) // len(rows))
        drawn = self._choose(logits_MV, self._uniforms[place].reshape(-1))
        for state, values in zip((self._tokens, self._logps, self._kept), drawn, strict=True):
            state[place] = values.reshape(*place[1].shape, *state.shape[2:])
        self._length[rows] += 1
        if draft_N is None:
            return 0
        first = self._tokens[rows, length]
        accepted = (first == draft_N) & ~self._is_stop[first] & (length + 1 < self._sampling.max_new_tokens)
        self._length[rows] += accepted
        self._cache.forget(~accepted)
        return int(accepted.sum())

    def _choose(self, logits_MV: Tensor, uniforms_M: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens_M, their log-probabilities, and the packed bits of the tokens kept, (M, 0) where all are."""
        if not torch.isfinite(logits_MV.sum()):
            raise UserError(
                "a policy has finite logits",
                got="infinite or not-a-number logits from the model",
                remedy="go back to an earlier checkpoint, with a lower learning rate",
            )
        sampling, kept = self._sampling, np.empty((len(logits_MV), 0), dtype=np.uint8)
        if sampling.temperature == 0.0:
            tokens, logps = greedy(logits_MV)
        elif sampling.keeps_part:
            tokens, logps, kept_MV = sample_top_p(
                logits_MV, torch.from_numpy(uniforms_M), temperature=sampling.temperature, top_p=sampling.top_p
            )
            kept = np.packbits(kept_MV.numpy(), axis=1, bitorder="little")
        else:
            tokens, logps = sample(logits_MV, torch.from_numpy(uniforms_M), temperature=sampling.temperature)
        return tokens.numpy(), logps.numpy(), kept

    def _retire(self) -> Iterator[Ended]:
        """Take finished rows out, the last ones moving into their places; now and then put the longest first."""
        rows = self._cache.rows
        stopped = self._is_stop[self._tokens[np.arange(rows), self._length[:rows] - 1]]
        done = stopped | (self._length[:rows] == self._sampling.max_new_tokens)
        self._steps += 1
        due = self._steps % SORT_STEPS == 0
        if not (done.any() or due):
            return
        for row in np.flatnonzero(done).tolist():
            yield self._ended(row, FinishReason.STOP if stopped[row] else FinishReason.LENGTH)
        left = np.flatnonzero(~done)
        order = left[np.argsort(-self._length[left], kind="stable")] if due else fill_holes(left)
        moved = np.flatnonzero(order != np.arange(len(order)))
        width = int(self._length[:rows].max())
        for state in (self._prompt, self._sample, self._uniforms, self._length):
            state[moved] = state[order[moved]]
        for state in (self._tokens, self._logps, self._kept):
            state[moved, :width] = state[order[moved], :width]
        self._cache.keep_rows(order)
        if self._drafts is not None:
            self._drafts.keep_rows(order, width=width)
        if self._routing is not None:
            self._routing.keep_rows(order, width=width)


def fill_holes(left: np.ndarray) -> np.ndarray:
    """An order of the rows left over that moves as few as can be: the last ones, into the places of those gone."""
    order = np.arange(len(left))
    stay = left[left < len(left)]
    order[np.setdiff1d(order, stay)] = left[len(stay) :]
    return order
