"""Which samples of a server's requests run together, and who is next: a batch's rows, shared out in turns.

Groups of requests take turns, one sample at a time; one that has no row gets one of those of the group that has the
most. A sample that is evicted for that, or since its reader is far behind, is read anew, from its prompt and what it
has sampled, when its turn comes. What one row does wrong ends that row alone.

A long prompt is read in chunks, one a step, so that nobody waits for all of it; one at a time, and it has a row
meanwhile.
"""

import itertools
from collections import Counter, deque
from collections.abc import Container
from dataclasses import dataclass

import torch

from afterbase.model.decoding.decoder import Decoder
from afterbase.rollout.engine import FinishReason
from afterbase.rollout.local.batch import Batch, Drawn, Row, not_finite
from afterbase.rollout.local.prefill import CHUNK_TOKENS, ChunkedPrefill, Prefilled, prefill
from afterbase.rollout.server.sample_request import Event, SampleRequest, Token


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedRow(Row):
    """A sample, and whose it is."""

    request: SampleRequest

    def send(self, event: Event) -> None:
        self.request.send(self.sample, event)


class WaitingPrompt:
    """Samples that go on from the same tokens: those of a request that have not begun, or one that was evicted."""

    def __init__(self, request: SampleRequest, evicted: ServedRow | None = None) -> None:
        self.request = request
        self.rows: deque[ServedRow] = deque()
        if evicted is not None:
            self.rows.append(evicted)
        else:
            for index in range(request.samples):
                row = ServedRow(prompt=request.prompt, sample=index, sampling=request.sampling, request=request)
                self.rows.append(row)
        self.tokens = request.prompt if evicted is None else (*request.prompt, *evicted.answered)
        """What is read first."""
        self.prefilled: Prefilled | Exception | None = None
        """What came of reading it, or why nothing did."""


class Scheduler:
    """Up to `rows` samples of up to `width` tokens each, prompt and answer; the cache has room for twice that.

    What is longer than `chunk_tokens` is read in chunks, and no more than that is read in one step, but for one prompt.
    """

    def __init__(
        self, decoder: Decoder, *, width: int, rows: int, keep_memory: bool, chunk_tokens: int = CHUNK_TOKENS
    ) -> None:
        """`keep_memory`: the cache's memory is kept while nobody is there."""
        self.width = width
        self._capacity = rows
        self._decoder = decoder
        self._keep_memory = keep_memory
        self._chunk_tokens = chunk_tokens
        self._batch: Batch[ServedRow] | None = None
        self._queues: dict[object, deque[WaitingPrompt]] = {}  # by group; its order is that of turns
        self._reading: tuple[WaitingPrompt, ChunkedPrefill] | None = None  # what has been begun, in its queue still
        self._moving: list[ServedRow] = []  # from a queue to the batch, or out of it, being too long

    @property
    def busy(self) -> bool:
        return bool(self._running or self._queues)

    @property
    def ready(self) -> bool:
        """Whether a step would do something."""
        return bool(self._running) or self._reading is not None or self._next() is not None

    @property
    def _running(self) -> list[ServedRow]:
        return [] if self._batch is None else self._batch.rows

    @property
    def _free(self) -> int:
        """Rows that nobody has; who is read in chunks has one."""
        return self._capacity - len(self._running) - (self._reading is not None)

    def add(self, waiting: WaitingPrompt) -> None:
        self._queues.setdefault(waiting.request.group, deque()).append(waiting)

    def fail(self, error: Exception) -> None:
        """Tell whoever is here; those who come later may have better luck."""
        queued = itertools.chain.from_iterable(self._queues.values())
        told = [*self._running, *self._moving, *itertools.chain.from_iterable(waiting.rows for waiting in queued)]
        self._batch, self._queues, self._reading, self._moving = None, {}, None, []
        for row in dict.fromkeys(told):
            row.send(error)

    @torch.inference_mode()
    def step(self) -> list[ServedRow]:
        """One more token for each row, two for those that begin; gives the rows that have grown out of the width."""
        self._drop_cancelled()
        self._make_room()
        self._begin()
        if self._running:
            self._advance(self._started_batch().step())
        if not self.busy and not self._keep_memory:
            self._batch = None
        outgrown, self._moving = self._moving, []
        return outgrown

    def _started_batch(self) -> Batch[ServedRow]:
        if self._batch is None:
            width = self.width
            self._batch = Batch(self._decoder, rows=self._capacity, prompt_width=width, own_width=width, longest=width)
        return self._batch

    # --- who leaves -----------------------------------------------------------------------------------------------

    def _drop_cancelled(self) -> None:
        for row in self._evict([row.request.cancelled(row.sample) for row in self._running]):
            row.send(FinishReason.ABORT)
        for group, queue in list(self._queues.items()):
            while queue and queue[0].request.cancelled(queue[0].rows[0].sample):
                queue[0].rows.popleft().send(FinishReason.ABORT)
                if not queue[0].rows:
                    queue.popleft()
            if not queue:
                del self._queues[group]
        if self._reading is not None:
            [waiting, _] = self._reading
            if waiting not in self._queues.get(waiting.request.group, ()):
                self._reading = None
        self._put_back([row.request.backlogged() for row in self._running])

    def _make_room(self) -> None:
        """Put back a row of the group that has the most of them, where another one has none."""
        if self._free or not self._running:
            return
        running = Counter(row.request.group for row in self._running)
        starved = self._next(without=running)
        [(group, most)] = running.most_common(1)
        if starved is None or most == 1:
            return
        theirs = [index for index, row in enumerate(self._running) if row.request.group == group]
        shortest = min(theirs, key=lambda index: self._started_batch().lengths[index])
        self._put_back([index == shortest for index in range(len(self._running))])
        self._queues = {starved: self._queues.pop(starved), **self._queues}

    def _put_back(self, leaving: list[bool]) -> None:
        for row in self._evict(leaving):
            self._queues.setdefault(row.request.group, deque()).appendleft(WaitingPrompt(row.request, row))

    def _evict(self, leaving: list[bool]) -> list[ServedRow]:
        return [] if self._batch is None else self._batch.evict(leaving)

    # --- who begins -----------------------------------------------------------------------------------------------

    def _next(self, without: Container[object] = ()) -> object | None:
        """The group whose turn it is, of those that can go on."""
        ready = (group for group, queue in self._queues.items() if self._can_go_on(queue[0]))
        return next((group for group in ready if group not in without), None)

    def _can_go_on(self, waiting: WaitingPrompt) -> bool:
        return not waiting.request.backlogged() and not (self._long(waiting) and self._reading is not None)

    def _long(self, waiting: WaitingPrompt) -> bool:
        """Whether it has to be read in chunks, still."""
        return waiting.prefilled is None and len(waiting.tokens) > self._chunk_tokens

    def _begin(self) -> None:
        """Start waiting samples in the free rows; their first token follows from what is read."""
        self._read_chunk()
        turns = self._turns()
        unread = [waiting for waiting in dict.fromkeys(waiting for waiting, _ in turns) if waiting.prefilled is None]
        if unread:
            self._read(unread)
        entering = []
        for waiting, row in turns:
            if isinstance(waiting.prefilled, Prefilled):
                entering.append((waiting.prefilled, row))
            elif waiting.prefilled is not None:
                row.send(waiting.prefilled)
        if entering:
            self._moving = [row for _, row in entering]
            drawn = self._started_batch().begin(entering)
            self._moving = []
            self._advance(drawn)

    def _turns(self) -> list[tuple[WaitingPrompt, ServedRow]]:
        """Whose turn it is while there are free rows, up to a bounded number of tokens to be read."""
        turns: list[tuple[WaitingPrompt, ServedRow]] = []
        unread: set[WaitingPrompt] = set()
        while self._free > len(turns) and (group := self._next()) is not None:
            queue = self._queues[group]
            head = queue[0]
            if self._long(head):
                self._reading = head, ChunkedPrefill(self._decoder, head.tokens, self._chunk_tokens)
                continue
            if head.prefilled is None and head not in unread:
                if unread and sum(len(waiting.tokens) for waiting in (*unread, head)) > self._chunk_tokens:
                    break  # those who run have a step in between
                unread.add(head)
            turns.append((head, head.rows.popleft()))
            if not head.rows:
                queue.popleft()
            del self._queues[group]
            if queue:
                self._queues[group] = queue
        return turns

    def _read_chunk(self) -> None:
        """The next chunk of what is long; after its last one the row is its own, before all others."""
        if self._reading is None:
            return
        waiting, chunks = self._reading
        try:
            waiting.prefilled = _if_finite(chunks.read_chunk())
        except Exception as error:
            waiting.prefilled = error
        if waiting.prefilled is not None:
            self._reading = None
            group = waiting.request.group
            self._queues = {group: self._queues.pop(group), **self._queues}

    def _read(self, unread: list[WaitingPrompt]) -> None:
        """Read tokens in one pass; where it fails, each alone, so that the others have theirs."""
        try:
            read = prefill(self._decoder, [waiting.tokens for waiting in unread])
        except Exception as error:
            if len(unread) == 1:
                unread[0].prefilled = error
            else:
                for waiting in unread:
                    self._read([waiting])
            return
        for waiting, prefilled in zip(unread, read, strict=True):
            waiting.prefilled = _if_finite(prefilled)

    # --- what they get --------------------------------------------------------------------------------------------

    def _advance(self, drawn: Drawn) -> None:
        """Send each row its token, and the end to those that end with it; takes out those that are too long now."""
        batch = self._started_batch()
        rows = batch.rows[drawn.first :]
        tokens_N, logps_N = drawn.token_ids_NT[:, 0].tolist(), drawn.logps_NT[:, 0].tolist()
        sent = zip(rows, drawn.finite_N.tolist(), tokens_N, logps_N, _top_logprobs(rows, drawn), strict=True)
        for row, finite, token, logp, top_logprobs in sent:
            if finite:
                row.send(Token(id=token, logp=logp, top_logprobs=top_logprobs))
        for ended in batch.retire():
            ended.row.send(ended.finish)
        lengths = zip(batch.rows, batch.lengths.tolist(), strict=True)
        self._moving += batch.evict([len(row.prompt) + length == self.width for row, length in lengths])


def _if_finite(prefilled: Prefilled | None) -> Prefilled | Exception | None:
    # Nothing that is no number comes into the cache, where others would read it as padding of weight zero.
    return prefilled if prefilled is None or prefilled.finite else not_finite()


def _top_logprobs(rows: list[ServedRow], drawn: Drawn) -> list[tuple[tuple[int, float], ...]]:
    """For each row the most probable tokens, as many as its request asks for."""
    tops: list[tuple[tuple[int, float], ...]] = [()] * len(rows)
    asking = [index for index, row in enumerate(rows) if row.request.top_logprobs]
    if asking:
        most = min(max(row.request.top_logprobs for row in rows), drawn.logits_MV.shape[1])
        logps, ids = drawn.logits_MV[asking].log_softmax(-1).topk(most)
        for index, row_ids, row_logps in zip(asking, ids.tolist(), logps.tolist(), strict=True):
            tops[index] = tuple(zip(row_ids, row_logps, strict=True))[: rows[index].request.top_logprobs]
    return tops
