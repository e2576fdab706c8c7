"""Continuous batching: rows that share a cache and its steps, enter when there is room, and leave as they finish.

Who enters next is for others to say: `PromptQueue` for a list of prompts, `scheduler.py` for requests that come
and go. Shape suffixes as in `decode_deepseek_v3.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from afterbase.model.decoding.decoder import Decoder
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.local.prefill import Prefilled
from afterbase.rollout.local.recorded_routing import Routing
from afterbase.rollout.local.speculative import Drafts
from afterbase.rollout.local.token_sampler import greedy, sample, sample_top_p, uniforms

# The cache reads less padding when long rows come first; moving them costs about two steps' attention.
SORT_STEPS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One sample of a prompt; `answered` are the tokens of its answer that it had before it was evicted."""

    prompt: tuple[int, ...]
    sample: int
    sampling: Sampling
    answered: tuple[int, ...] = ()


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The tokens drawn for the rows from `first` on, T for each, out of the logits_MV over the temperature.

    Rows without finite logits are not `finite`: their tokens mean nothing, and they end.
    """

    first: int
    token_ids_NT: np.ndarray
    logps_NT: np.ndarray
    finite_N: np.ndarray
    logits_MV: Tensor


@dataclass(frozen=True, kw_only=True)
class Ended(Generic[R]):
    """A row that has left, with its tokens since it entered last; arrays are views, to be read before the next step."""

    row: R
    token_ids: np.ndarray
    logps: np.ndarray
    finish: FinishReason | ArithmeticError
    routed_experts: np.ndarray | None
    kept_tokens: np.ndarray | None
    top_ids: np.ndarray
    top_logps: np.ndarray


class Batch(Generic[R]):
    """Up to `rows` rows; their state is held in arrays, in the order of the cache: row, then token of its answer.

    Prompts have up to `prompt_width` tokens, answers `own_width`, both together `longest`. `common` is
    the sampling of all rows, where it is the same; without, none has a `top_p` below 1 or wants `top_logps`. `drafts`
    and `routing` are there if the engine speculates and records; they see what the decoder does.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        rows: int,
        prompt_width: int,
        own_width: int,
        longest: int | None = None,
        common: Sampling | None = None,
        drafts: Drafts | None = None,
        routing: Routing | None = None,
    ) -> None:
        self.rows: list[R] = []
        self._capacity = rows
        self._decoder = decoder
        self._top_p = common.top_p if common is not None and common.keeps_part else 1.0
        self._drafts = drafts
        self._routing = routing
        self._new_cache = partial(
            decoder.new_cache, rows=rows, prompt_width=prompt_width, own_width=own_width, longest=longest
        )
        self._cache = self._new_cache()
        self._steps = 0
        self._temperature = np.zeros(rows, dtype=np.float64)
        self._limit = np.zeros(rows, dtype=np.int64)
        self._stop_ids = np.empty((rows, 0), dtype=np.int64)  # as many columns as any row has, filled up with -1
        self._length = np.zeros(rows, dtype=np.int64)
        self._failed = np.zeros(rows, dtype=bool)
        # One column more than an answer has: where a draft would come after the last token.
        columns, vocabulary = own_width + 1, decoder.model.config.get_text_config().vocab_size
        self._top_count = 0 if common is None else min(common.top_logps, vocabulary)
        self._tokens = np.empty((rows, columns), dtype=np.int64)
        self._logps = np.empty((rows, columns), dtype=np.float32)
        self._uniforms = np.empty((rows, columns), dtype=np.float64)
        self._kept = np.empty((rows, columns, -(-vocabulary // 8) if self._top_p < 1.0 else 0), dtype=np.uint8)
        self._top_ids = np.empty((rows, columns, self._top_count), dtype=np.int64)
        self._top_logps = np.empty((rows, columns, self._top_count), dtype=np.float32)

    @property
    def free(self) -> int:
        """Rows that can enter."""
        return self._capacity - len(self.rows)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row's answer so far: a view that moves with the next step."""
        return self._length[: len(self.rows)]

    def begin(self, entering: Iterable[tuple[Prefilled, R]]) -> Drawn:
        """Let rows enter, one at least, behind what was read of them, and draw the next token of each."""
        first, logits = len(self.rows), []
        for read, row in entering:
            self._enter(read, row)
            logits.append(read.logits_V)
        return self._extend(first, torch.stack(logits), draft_N=None)[0]

    def step(self) -> Drawn:
        """Feed every row its last token, and with it a draft of the next one where that pays, and draw what follows."""
        length = self.lengths.copy()
        rows = np.arange(len(length))
        fed, draft = self._tokens[rows, length - 1], None
        if self._drafts is not None and self._drafts.worthwhile():
            draft = self._drafts.propose(self._tokens, length, self._uniforms[rows, length])
            fed = np.stack((fed, draft), axis=1).reshape(-1)
        states = self._decoder.feed(torch.from_numpy(fed), self._cache)
        if self._routing is not None:
            self._routing.saw(length - 1, states.experts)
        if self._drafts is not None:
            self._drafts.saw(length - 1, states.hidden_MX)
        drawn, accepted = self._extend(0, self._decoder.logits(states.hidden_MX), draft)
        if self._drafts is not None:
            self._drafts.count(drafted=0 if draft is None else len(draft), accepted=accepted)
        return drawn

    def retire(self) -> Iterator[Ended[R]]:
        """Take finished rows out, after each drawing; now and then put the longest first."""
        rows = np.arange(len(self.rows))
        stopped = self._stops(rows, self._tokens[rows, self.lengths - 1])
        failed = self._failed[rows]
        done = stopped | failed | (self.lengths == self._limit[rows])
        self._steps += 1
        due = self._steps % SORT_STEPS == 0
        if not (done.any() or due):
            return
        for index in np.flatnonzero(done).tolist():
            finish = FinishReason.STOP if stopped[index] else FinishReason.LENGTH
            length = int(self._length[index])
            yield self._ended(self.rows[index], index, length, not_finite() if failed[index] else finish)
        left = np.flatnonzero(~done)
        self._keep(left[np.argsort(-self._length[left], kind="stable")] if due else fill_holes(left))
        if failed.any():  # what is no number would be read as padding of weight zero, and is none
            broken, self._cache = self._cache, self._new_cache()
            self._cache.take(broken)

    def evict(self, leaving: Sequence[bool]) -> list[R]:
        """Take out the rows that are marked, as they can enter again once their prompt and answer are read."""
        evicted = [
            replace(self.rows[row], answered=tuple(self._tokens[row, : self._length[row]].tolist()))
            for row in np.flatnonzero(leaving)
        ]
        if evicted:
            self._keep(fill_holes(np.flatnonzero(~np.asarray(leaving))))
        return evicted

    def abort(self, waiting: Iterable[R]) -> Iterator[Ended[R]]:
        """All rows as they are, and with no token those that wait; it is the batch's end."""
        for index, row in enumerate(self.rows):
            yield self._ended(row, index, int(self._length[index]), FinishReason.ABORT)
        for row in waiting:
            yield self._ended(row, 0, 0, FinishReason.ABORT)

    def _ended(self, row: R, index: int, length: int, finish: FinishReason | ArithmeticError) -> Ended[R]:
        return Ended(
            row=row,
            token_ids=self._tokens[index, :length],
            logps=self._logps[index, :length],
            finish=finish,
            routed_experts=None if self._routing is None or not length else self._routing.of(index, length - 1),
            kept_tokens=self._kept[index, :length] if self._top_p < 1.0 else None,
            top_ids=self._top_ids[index, :length],
            top_logps=self._top_logps[index, :length],
        )

    def _enter(self, read: Prefilled, row: R) -> None:
        index, sampling, answered = len(self.rows), row.sampling, len(row.answered)
        self.rows.append(row)
        self._cache.add_rows(1, key=read.key, cached_LWD=read.cached_LWD)
        if self._drafts is not None and read.opening is not None:
            self._drafts.add_row(read.key, read.opening)
        if self._routing is not None and read.routed is not None:
            self._routing.add_row(index, read.routed)
        self._temperature[index], self._limit[index] = sampling.temperature, sampling.max_new_tokens
        self._length[index], self._failed[index] = answered, False
        self._tokens[index, :answered] = row.answered
        stop_ids = sampling.stop_token_ids
        if (more := len(stop_ids) - self._stop_ids.shape[1]) > 0:
            self._stop_ids = np.pad(self._stop_ids, ((0, 0), (0, more)), constant_values=-1)
        self._stop_ids[index] = -1
        self._stop_ids[index, : len(stop_ids)] = stop_ids
        if sampling.temperature > 0:
            columns = self._uniforms.shape[1]
            self._uniforms[index] = uniforms(seed=sampling.seed, prompt=row.prompt, sample=row.sample, count=columns)

    def _extend(self, first: int, logits_MV: Tensor, draft_N: np.ndarray | None) -> tuple[Drawn, int]:
        """Append one token to every row from `first` on, and where it is the draft that was fed, the one after it.

        Gives what was drawn, and the number of drafts that brought a token.
        """
        rows = np.arange(first, len(self.rows))
        length = self._length[rows]
        place = rows[:, None], length[:, None] + np.arange(len(logits_MV) // len(rows))
        scaled_MV = self._over_temperature(logits_MV, rows)
        finite_M = torch.isfinite(scaled_MV.sum(-1))
        if not finite_M.all():
            scaled_MV[~finite_M] = 0.0
        finite_N = finite_M.view(len(rows), -1).all(1).numpy()
        self._failed[rows] = ~finite_N
        tokens_NT, logps_NT, kept = (values.reshape(*place[1].shape, -1) for values in self._draw(scaled_MV, place))
        tokens_NT, logps_NT = tokens_NT[..., 0], logps_NT[..., 0]
        for state, values in ((self._tokens, tokens_NT), (self._logps, logps_NT), (self._kept, kept)):
            state[place] = values
        if self._top_count:
            logps_MK, ids_MK = scaled_MV.log_softmax(-1).topk(self._top_count)
            self._top_logps[place] = logps_MK.view(*place[1].shape, -1)
            self._top_ids[place] = ids_MK.view(*place[1].shape, -1)
        self._length[rows] += 1
        drawn = Drawn(first=first, token_ids_NT=tokens_NT, logps_NT=logps_NT, finite_N=finite_N, logits_MV=scaled_MV)
        if draft_N is None:
            return drawn, 0
        accepted = (tokens_NT[:, 0] == draft_N) & ~self._stops(rows, draft_N) & (length + 1 < self._limit[rows])
        self._length[rows] += accepted
        self._cache.forget(~accepted)
        return drawn, int(accepted.sum())

    def _over_temperature(self, logits_MV: Tensor, rows: np.ndarray) -> Tensor:
        """Logits over each row's temperature, a greedy row's as they are."""
        temperature_N = np.where(self._temperature[rows] == 0.0, 1.0, self._temperature[rows])
        if (temperature_N == 1.0).all():
            return logits_MV
        if (temperature_N == temperature_N[0]).all():
            return logits_MV / float(temperature_N[0])
        temperature_M = temperature_N.astype(np.float32).repeat(len(logits_MV) // len(rows))
        return logits_MV / torch.from_numpy(temperature_M)[:, None]

    def _draw(
        self, scaled_MV: Tensor, place: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens_M, their log-probabilities, and the packed bits of the tokens kept, (M, 0) where all are."""
        drawn_M = torch.from_numpy(self._uniforms[place].reshape(-1))
        sampled_M = (self._temperature[place[0]] > 0).repeat(place[1].shape[1], axis=1).reshape(-1)
        kept = np.empty((len(scaled_MV), 0), dtype=np.uint8)
        if self._top_p < 1.0:
            tokens, logps, kept_MV = sample_top_p(scaled_MV, drawn_M, temperature=1.0, top_p=self._top_p)
            kept = np.packbits(kept_MV.numpy(), axis=1, bitorder="little")
        elif sampled_M.all():
            tokens, logps = sample(scaled_MV, drawn_M, temperature=1.0)
        else:
            tokens, logps = greedy(scaled_MV)
            if sampled_M.any():
                chosen = torch.from_numpy(sampled_M)
                tokens[chosen], logps[chosen] = sample(scaled_MV[chosen], drawn_M[chosen], temperature=1.0)
        return tokens.numpy(), logps.numpy(), kept

    def _stops(self, rows: np.ndarray, tokens_N: np.ndarray) -> np.ndarray:
        return (self._stop_ids[rows] == tokens_N[:, None]).any(axis=1)

    def _keep(self, order: np.ndarray) -> None:
        """Row i becomes what row order[i] was; rows not named go."""
        moved = np.flatnonzero(order != np.arange(len(order)))
        width = int(self.lengths.max(initial=0))
        for state in (self._temperature, self._limit, self._stop_ids, self._length, self._failed, self._uniforms):
            state[moved] = state[order[moved]]
        for state in (self._tokens, self._logps, self._kept, self._top_ids, self._top_logps):
            state[moved, :width] = state[order[moved], :width]
        self.rows = [self.rows[row] for row in order]
        self._cache.keep_rows(order)
        if self._drafts is not None:
            self._drafts.keep_rows(order, width=width)
        if self._routing is not None:
            self._routing.keep_rows(order, width=width)


def not_finite() -> ArithmeticError:
    return ArithmeticError("the model gives infinite or not-a-number logits")


def fill_holes(left: np.ndarray) -> np.ndarray:
    """An order of the rows left over that moves as few as can be: the last ones, into the places of those gone."""
    order = np.arange(len(left))
    stay = left[left < len(left)]
    order[np.setdiff1d(order, stay)] = left[len(stay) :]
    return order
