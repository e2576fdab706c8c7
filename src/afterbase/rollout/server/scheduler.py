"""Samples of different requests that run together: rows that join and leave at any step, and the turns of who waits.

Requests take turns, one sample at a time; one that has no row gets one of those of the request that has the most. A
sample that is put back for that, or since its reader is far behind, is read anew, from its prompt and what it has
sampled, when its turn comes. What one row does wrong ends that row alone.

What is long is read piece by piece, one a step, so that nobody waits for all of it; one at a time, and it has a row
meanwhile.
"""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from afterbase.model.decoding.decoder import Decoder
from afterbase.model.decoding.latent_cache import LatentCache
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.local.batch import fill_holes
from afterbase.rollout.local.token_sampler import greedy, sample, uniforms

READ_TOKENS = 256  # that are read between two steps of those who run

_keys = itertools.count()


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

    `send` is called in the computing thread with a sample's index and its next event, and must not block. Between steps
    it is asked whether a sample is `unwanted`, without a reader, and whether the reader is so far `behind` that it
    should get no more for now. `request` is the same for all prompts of a request: turns are taken by it.
    """

    prompt: tuple[int, ...]
    samples: int
    sampling: Sampling
    top: int
    send: Callable[[int, Event], None]
    unwanted: Callable[[int], bool]
    behind: Callable[[], bool] = lambda: False
    request: object = field(default_factory=object)


@dataclass
class Row:
    """One sample that has begun."""

    wanted: Wanted
    sample: int
    uniforms: np.ndarray
    tokens: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Of prompt and answer."""
        return len(self.wanted.prompt) + len(self.tokens)

    @property
    def temperature(self) -> float:
        return self.wanted.sampling.temperature

    def send(self, event: Event) -> None:
        self.wanted.send(self.sample, event)


class Waiting:
    """Samples that go on from the same tokens: those of a request that have not begun, or one that was put back."""

    def __init__(self, wanted: Wanted, row: Row | None = None) -> None:
        self.key = next(_keys)
        self.wanted = wanted
        self.tokens = wanted.prompt if row is None else (*wanted.prompt, *row.tokens)
        """What is read first."""
        self.read: tuple[Tensor, Tensor] | Exception | None = None
        """What is cached of the tokens, cached_LWD, and the logits_V behind them; or why there are none."""
        self._begun: Tensor | None = None
        self._read_tokens = 0
        self._row = row
        self._sample = 0 if row is None else wanted.samples

    @property
    def long(self) -> bool:
        """Whether it has to be read piece by piece, still."""
        return self.read is None and len(self.tokens) > READ_TOKENS

    def read_piece(self, decoder: Decoder) -> None:
        """Read on; `read` is there after the last piece. The pieces of a prompt are always the same."""
        start = self._read_tokens
        piece = self.tokens[start : start + READ_TOKENS]
        if self._begun is None:
            [cached_LMD], states = decoder.read([piece])
            layers, _, width = cached_LMD.shape
            self._begun = torch.from_numpy(np.zeros((layers, len(self.tokens), width), dtype=np.float32))
            self._begun[:, : len(piece)] = cached_LMD
        else:
            states = decoder.read_on(piece, self._begun, start)
        self._read_tokens += len(piece)
        if self._read_tokens == len(self.tokens):
            self.read = _if_finite(self._begun, decoder.logits(states.hidden_MX[-1:])[0])
            self._begun = None

    @property
    def samples(self) -> range | list[int]:
        """The indices of those that wait."""
        return range(self._sample, self.wanted.samples) if self._row is None else [self._row.sample]

    def take(self) -> Row:
        """The next one."""
        if self._row is not None:
            row, self._row = self._row, None
            return row
        sampling = self.wanted.sampling
        count = sampling.max_new_tokens if sampling.temperature > 0 else 0
        draws = uniforms(seed=sampling.seed, prompt=self.wanted.prompt, sample=self._sample, count=count)
        self._sample += 1
        return Row(self.wanted, self._sample - 1, draws)

    def skip(self) -> int:
        """Leave out the next one, whose index it gives."""
        index = self.samples[0]
        self._row, self._sample = None, max(self._sample, index + 1)
        return index


class Lane:
    """Up to `rows` samples of up to `width` tokens each, prompt and answer; the cache has room for twice that."""

    def __init__(self, decoder: Decoder, *, width: int, rows: int, kept: bool) -> None:
        """`kept`: the cache's memory is kept while nobody is there."""
        self.width = width
        self.capacity = rows
        self._decoder = decoder
        self._kept = kept
        self._cache: LatentCache | None = None
        self._rows: list[Row] = []
        self._queues: dict[object, deque[Waiting]] = {}  # by request; its order is that of turns
        self._reading: Waiting | None = None  # what is long and has been begun, in its queue still

    @property
    def busy(self) -> bool:
        return bool(self._rows or self._queues)

    @property
    def ready(self) -> bool:
        """Whether a step would do something."""
        return bool(self._rows) or self._reading is not None or self._next() is not None

    @property
    def _free(self) -> int:
        """Rows that nobody has; who is read piece by piece has one."""
        return self.capacity - len(self._rows) - (self._reading is not None)

    def add(self, waiting: Waiting) -> None:
        self._queues.setdefault(waiting.wanted.request, deque()).append(waiting)

    def fail(self, error: Exception) -> None:
        """Tell whoever is here; those who come later may have better luck."""
        rows, queues = self._rows, self._queues
        self._rows, self._queues, self._reading, self._cache = [], {}, None, None
        for row in rows:
            row.send(error)
        for waiting in itertools.chain.from_iterable(queues.values()):
            for index in waiting.samples:
                waiting.wanted.send(index, error)

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One more token for each row, two for those that begin; gives the rows that have grown out of this lane."""
        self._drop_unwanted()
        self._make_room()
        outgrown = self._begin()
        if self._rows:
            last_N = torch.tensor([row.tokens[-1] for row in self._rows])
            states = self._decoder.feed(last_N, self._room())
            outgrown += self._extend(0, self._decoder.logits(states.hidden_MX))
        if not self.busy and not self._kept:
            self._cache = None
        return outgrown

    def _room(self) -> LatentCache:
        cache = self._cache
        if cache is None:
            width = self.width
            cache = self._cache = self._decoder.new_cache(
                rows=self.capacity, prompt_width=width, own_width=width, longest=width
            )
        return cache

    def _drop_unwanted(self) -> None:
        for row in self._rows:
            if row.wanted.unwanted(row.sample):
                row.send(FinishReason.ABORT)
        self._keep([not row.wanted.unwanted(row.sample) for row in self._rows])
        for request, queue in list(self._queues.items()):
            while queue and queue[0].wanted.unwanted(queue[0].samples[0]):
                queue[0].wanted.send(queue[0].skip(), FinishReason.ABORT)
                if not queue[0].samples:
                    queue.popleft()
            if not queue:
                del self._queues[request]
        if self._reading is not None and self._reading not in self._queues.get(self._reading.wanted.request, ()):
            self._reading = None
        self._put_back([row.wanted.behind() for row in self._rows])

    def _make_room(self) -> None:
        """Put back a row of the request that has the most of them, where another one has none."""
        if self._free or not self._rows:
            return
        running = Counter(row.wanted.request for row in self._rows)
        starved = self._next(without=running)
        [(request, most)] = running.most_common(1)
        if starved is None or most == 1:
            return
        youngest = max(i for i, row in enumerate(self._rows) if row.wanted.request is request)
        self._put_back([index == youngest for index in range(len(self._rows))])
        self._queues = {starved: self._queues.pop(starved), **self._queues}

    def _put_back(self, leaving: list[bool]) -> None:
        for row in itertools.compress(self._rows, leaving):
            self._queues.setdefault(row.wanted.request, deque()).appendleft(Waiting(row.wanted, row))
        self._keep([not leaves for leaves in leaving])

    def _next(self, without: Container[object] = ()) -> object | None:
        """The request whose turn it is, of those that can go on."""
        ready = (request for request, queue in self._queues.items() if self._can_go_on(queue[0]))
        return next((request for request in ready if request not in without), None)

    def _can_go_on(self, waiting: Waiting) -> bool:
        return not waiting.wanted.behind() and not (waiting.long and self._reading is not None)

    def _begin(self) -> list[Row]:
        """Start waiting samples in the free rows; their first token follows from what is read. Gives who outgrew."""
        self._read_on()
        turns = self._turns()
        unread = [waiting for waiting in dict.fromkeys(waiting for waiting, _ in turns) if waiting.read is None]
        if unread:
            self._read(unread)
        first, logits = len(self._rows), []
        for waiting, row in turns:
            if isinstance(waiting.read, tuple):
                cached_LWD, logits_V = waiting.read
                self._room().add_rows(1, key=waiting.key, cached_LWD=cached_LWD)
                self._rows.append(row)
                logits.append(logits_V)
            elif isinstance(waiting.read, Exception):
                row.send(waiting.read)
        return self._extend(first, torch.stack(logits)) if logits else []

    def _turns(self) -> list[tuple[Waiting, Row]]:
        """Whose turn it is while there are free rows, up to a bounded number of tokens to be read."""
        turns: list[tuple[Waiting, Row]] = []
        unread: set[int] = set()
        tokens = 0
        while self._free > len(turns) and (request := self._next()) is not None:
            queue = self._queues[request]
            head = queue[0]
            if head.long:
                self._reading = head
                continue
            if head.read is None and head.key not in unread:
                tokens += len(head.tokens)
                if unread and tokens > READ_TOKENS:
                    break  # those who run have a step in between
                unread.add(head.key)
            turns.append((head, head.take()))
            if not head.samples:
                queue.popleft()
            del self._queues[request]
            if queue:
                self._queues[request] = queue
        return turns

    def _read_on(self) -> None:
        """The next piece of what is long; after its last one the row is its own, before all others."""
        waiting = self._reading
        if waiting is None:
            return
        try:
            waiting.read_piece(self._decoder)
        except Exception as error:
            waiting.read = error
        if waiting.read is not None:
            self._reading = None
            request = waiting.wanted.request
            self._queues = {request: self._queues.pop(request), **self._queues}

    def _read(self, unread: list[Waiting]) -> None:
        """Read tokens in one pass; where it fails, each alone, so that the others have theirs."""
        try:
            cached, states = self._decoder.read([waiting.tokens for waiting in unread])
            last_P = torch.tensor([len(waiting.tokens) for waiting in unread]).cumsum(0) - 1
            logits_PV = self._decoder.logits(states.hidden_MX[last_P])
        except Exception as error:
            for waiting in unread if len(unread) > 1 else ():
                self._read([waiting])
            if len(unread) == 1:
                unread[0].read = error
            return
        for waiting, cached_LWD, logits_V in zip(unread, cached, logits_PV, strict=True):
            waiting.read = _if_finite(cached_LWD, logits_V)

    def _extend(self, first: int, logits_NV: Tensor) -> list[Row]:
        """One more token for each row from `first` on; those that end with it leave, and those that outgrow the lane,
        which are given."""
        rows = self._rows[first:]
        scaled_NV = logits_NV / torch.tensor([[row.temperature or 1.0] for row in rows])
        finite_N = torch.isfinite(scaled_NV.sum(-1))
        if not finite_N.all():
            scaled_NV[~finite_N] = 0.0
        tokens_N, logps_N = _draw(rows, scaled_NV)
        leaving, outgrown = [False] * first, []
        drawn = zip(rows, finite_N.tolist(), tokens_N.tolist(), logps_N.tolist(), _tops(rows, scaled_NV), strict=True)
        for row, finite, token, logp, top in drawn:
            if not finite:
                row.send(_not_finite())
                leaving.append(True)
                continue
            row.tokens.append(token)
            row.send(Token(id=token, logp=logp, top=top))
            finish = _finish(row)
            if finish is not None:
                row.send(finish)
            elif row.length == self.width:
                outgrown.append(row)
            leaving.append(finish is not None or row.length == self.width)
        self._keep([not leaves for leaves in leaving])
        if not finite_N.all() and self._cache is not None:
            whole, self._cache = self._cache, None
            self._room().take(whole)
        return outgrown

    def _keep(self, staying: list[bool]) -> None:
        if all(staying):
            return
        order = fill_holes(np.flatnonzero(staying))
        self._rows = [self._rows[index] for index in order]
        self._room().keep_rows(order)


def _if_finite(cached_LWD: Tensor, logits_V: Tensor) -> tuple[Tensor, Tensor] | Exception:
    # Nothing that is no number comes into the cache, where others would read it as padding of weight zero.
    finite = bool(torch.isfinite(cached_LWD.sum()) and torch.isfinite(logits_V.sum()))
    return (cached_LWD, logits_V) if finite else _not_finite()


def _not_finite() -> ArithmeticError:
    return ArithmeticError("the model gives infinite or not-a-number logits")


def _draw(rows: list[Row], scaled_NV: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and log-probabilities: the most probable token where the temperature is 0, a drawn one elsewhere."""
    tokens_N, logps_N = torch.empty(len(rows), dtype=torch.int64), torch.empty(len(rows))
    drawn = [index for index, row in enumerate(rows) if row.temperature > 0]
    if drawn:
        uniforms_N = torch.tensor([rows[i].uniforms[len(rows[i].tokens)] for i in drawn], dtype=torch.float64)
        tokens_N[drawn], logps_N[drawn] = sample(scaled_NV[drawn], uniforms_N, temperature=1.0)
    chosen = [index for index, row in enumerate(rows) if row.temperature == 0]
    if chosen:
        tokens_N[chosen], logps_N[chosen] = greedy(scaled_NV[chosen])
    return tokens_N, logps_N


def _tops(rows: list[Row], scaled_NV: Tensor) -> list[tuple[tuple[int, float], ...]]:
    """For each row the most probable tokens, as many as it wants."""
    tops: list[tuple[tuple[int, float], ...]] = [()] * len(rows)
    asked = [index for index, row in enumerate(rows) if row.wanted.top]
    if asked:
        most = min(max(row.wanted.top for row in rows), scaled_NV.shape[1])
        logps, ids = scaled_NV[asked].log_softmax(-1).topk(most)
        for index, row_ids, row_logps in zip(asked, ids.tolist(), logps.tolist(), strict=True):
            tops[index] = tuple(zip(row_ids, row_logps, strict=True))[: rows[index].wanted.top]
    return tops


def _finish(row: Row) -> FinishReason | None:
    sampling = row.wanted.sampling
    if row.tokens[-1] in sampling.stop_token_ids:
        return FinishReason.STOP
    return FinishReason.LENGTH if len(row.tokens) == sampling.max_new_tokens else None
