"""The running batch: it samples what the local engine samples, whoever comes and goes meanwhile."""

import queue
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from afterbase.core.errors import UserError
from afterbase.model.attention import Segments
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.server.sample_request import Event, SampleRequest, Token
from afterbase.rollout.server.serving_engine import ServingEngine

PROMPTS = [tuple(range(20, 20 + n)) for n in (9, 3, 14, 1)]
SAMPLING = Sampling(temperature=1.0, max_new_tokens=12, stop_token_ids=(5,), seed=3)
SECONDS = 60  # until a test gives up; a step takes milliseconds


class Reader:
    """Collects what a request is sent; `leave_after` tokens of sample 0 it cancels all samples."""

    def __init__(
        self, prompt: tuple[int, ...], samples: int, sampling: Sampling, *, top: int = 0, leave_after: int = 0
    ):
        self.tokens: list[list[Token]] = [[] for _ in range(samples)]
        self.ends: dict[int, FinishReason | Exception] = {}
        self._events: queue.Queue[tuple[int, Event]] = queue.Queue()
        self._left = False
        self._leave_after = leave_after
        self.request = SampleRequest(
            prompt=prompt,
            samples=samples,
            sampling=sampling,
            top_logprobs=top,
            send=self._send,
            cancelled=lambda _: self._left,
        )

    def _send(self, sample: int, event: Event) -> None:
        self._events.put((sample, event))
        if isinstance(event, Token):
            self.tokens[sample].append(event)
            self._left = bool(self._leave_after) and len(self.tokens[0]) >= self._leave_after

    def wait(self) -> "Reader":
        while len(self.ends) < self.request.samples:
            sample, event = self._events.get(timeout=SECONDS)
            if not isinstance(event, Token):
                self.ends[sample] = event
        return self

    @property
    def ids(self) -> list[list[int]]:
        return [[token.id for token in tokens] for tokens in self.tokens]


@pytest.fixture
def engine(toy_lm) -> Iterator[ServingEngine]:
    engine = ServingEngine(toy_lm.model, max_rows=7, token_budget=100_000)
    engine.start()
    yield engine
    engine.stop()


def answered(engine: ServingEngine, readers: list[Reader]) -> list[Reader]:
    for reader in readers:
        engine.submit(reader.request)
    return [reader.wait() for reader in readers]


def test_each_gets_what_the_local_engine_samples_under_its_own_settings(engine, toy_lm):
    settings = [
        replace(SAMPLING, temperature=t, seed=s, max_new_tokens=m)
        for t, s, m in ((1.0, 3, 12), (0.0, 1, 5), (0.7, 9, 20), (1.0, 2, 3))
    ]
    readers = answered(engine, [Reader(p, 3, s) for p, s in zip(PROMPTS, settings, strict=True)])
    for prompt, sampling, reader in zip(PROMPTS, settings, readers, strict=True):
        [expected] = LocalEngine(toy_lm.model).generate([prompt], samples=3, sampling=sampling)
        assert reader.ids == [completion.token_ids for completion in expected]
        assert reader.ends == {completion.sample_index: completion.finish for completion in expected}
        for tokens, completion in zip(reader.tokens, expected, strict=True):
            assert [token.logp for token in tokens] == pytest.approx(completion.logps, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_log_probabilities_are_those_of_a_training_forward(engine, toy_lm, temperature):
    [reader] = answered(engine, [Reader(PROMPTS[0], 2, replace(SAMPLING, temperature=temperature), top=4)])
    for tokens, ids in zip(reader.tokens, reader.ids, strict=True):
        with torch.no_grad():
            whole = torch.tensor([*PROMPTS[0], *ids])
            logits = toy_lm.logits(toy_lm.hidden(whole, Segments.of([len(whole)])))
        logps = torch.log_softmax(logits[len(PROMPTS[0]) - 1 : -1] / (temperature or 1.0), -1)
        for place, token in enumerate(tokens):
            assert token.logp == pytest.approx(logps[place, token.id].item(), abs=1e-4)
            expected, ids_by_logp = logps[place].topk(4)
            assert [i for i, _ in token.top_logprobs] == ids_by_logp.tolist()
            assert [logp for _, logp in token.top_logprobs] == pytest.approx(expected.tolist(), abs=1e-4)


def test_who_comes_later_joins_the_running_batch(engine):
    """The second request is sent once the first one has begun, and ends long before it."""
    order: list[str] = []
    long = Reader(PROMPTS[0], 1, replace(SAMPLING, max_new_tokens=400, stop_token_ids=()))
    short = Reader(PROMPTS[1], 1, replace(SAMPLING, max_new_tokens=3, stop_token_ids=()))

    def submit_short(sample: int, event: Event) -> None:
        if not order:
            order.append("begun")
            engine.submit(replace(short.request, send=note_short))
        if isinstance(event, FinishReason):
            order.append("long")
        long.request.send(sample, event)

    def note_short(sample: int, event: Event) -> None:
        if isinstance(event, FinishReason):
            order.append("short")
        short.request.send(sample, event)

    engine.submit(replace(long.request, send=submit_short))
    long.wait()
    short.wait()
    assert order == ["begun", "short", "long"]


def test_who_leaves_frees_the_rows_and_disturbs_nobody(engine, toy_lm):
    staying = Reader(PROMPTS[1], 3, SAMPLING)
    leaving = Reader(PROMPTS[0], 20, replace(SAMPLING, max_new_tokens=400, stop_token_ids=()), leave_after=2)
    answered(engine, [leaving, staying])
    assert set(leaving.ends.values()) == {FinishReason.ABORT}
    assert max(map(len, leaving.tokens)) == 2
    assert any(not tokens for tokens in leaving.tokens), "more samples than rows: some never started"
    [expected] = LocalEngine(toy_lm.model).generate([PROMPTS[1]], samples=3, sampling=SAMPLING)
    assert staying.ids == [completion.token_ids for completion in expected]


def test_a_failure_is_told_to_all_who_wait_and_the_next_are_served(engine, toy_lm):
    kept = toy_lm.model.lm_head.weight.detach().clone()
    with torch.no_grad():
        toy_lm.model.lm_head.weight[3, 4] = torch.nan
    [first, second] = answered(engine, [Reader(PROMPTS[0], 9, SAMPLING), Reader(PROMPTS[1], 1, SAMPLING)])
    assert all("not-a-number" in str(end) for reader in (first, second) for end in reader.ends.values())
    with torch.no_grad():
        toy_lm.model.lm_head.weight.copy_(kept)
    [third] = answered(engine, [Reader(PROMPTS[0], 1, SAMPLING)])
    assert isinstance(third.ends[0], FinishReason)


def test_a_budget_below_one_request_is_refused(toy_lm):
    with pytest.raises(UserError, match="room for one prompt") as raised:
        ServingEngine(toy_lm.model, max_rows=8, token_budget=3)
    assert "1024 for the whole context" in raised.value.remedy
