"""Rows beside one another: what one does wrong ends it alone, and turns are shared out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch

from afterbase.model.decoding.decoder import decoder_for
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.local.prefill import CHUNK_TOKENS
from afterbase.rollout.server.sample_request import Event, SampleRequest, Token
from afterbase.rollout.server.scheduler import Scheduler, WaitingPrompt

SAMPLING = Sampling(temperature=1.0, max_new_tokens=12, stop_token_ids=(), seed=3)
PROMPT = tuple(range(20, 29))
BAD = 7


@dataclass
class Reader:
    """What came of a request, by sample; `backlogged` is what the scheduler is told."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    ends: dict[int, Event] = field(default_factory=dict)
    left: bool = False
    backlogged: bool = False

    def request(self, prompt: tuple[int, ...], samples: int, sampling: Sampling = SAMPLING) -> SampleRequest:
        return SampleRequest(
            prompt=prompt,
            samples=samples,
            sampling=sampling,
            top_logprobs=0,
            send=self._send,
            cancelled=lambda _: self.left,
            backlogged=lambda: self.backlogged,
            group=id(self),
        )

    def _send(self, sample: int, event: Event) -> None:
        if isinstance(event, Token):
            self.tokens.setdefault(sample, []).append(event.id)
        else:
            assert sample not in self.ends
            self.ends[sample] = event

    def ids(self, samples: int) -> list[list[int]]:
        return [self.tokens[sample] for sample in range(samples)]


def scheduler_of(lm, *, rows: int = 4, width: int = 512, chunk_tokens: int = CHUNK_TOKENS) -> Scheduler:
    decoder = decoder_for(lm.model, int8=False)
    return Scheduler(decoder, width=width, rows=rows, keep_memory=True, chunk_tokens=chunk_tokens)


def run(scheduler: Scheduler, until: Callable[[], bool] = lambda: False) -> None:
    """Steps until nobody is left, or as said."""
    for _ in range(1000):
        if not scheduler.ready or until():
            return
        assert scheduler.step() == []
    pytest.fail("no end")


def expected(lm, prompt: tuple[int, ...], samples: int, sampling: Sampling = SAMPLING) -> list[list[int]]:
    [completions] = LocalEngine(lm.model).generate([prompt], samples=samples, sampling=sampling)
    return [completion.token_ids for completion in completions]


@pytest.fixture
def broken_lm(toy_lm):
    """A model that gives no numbers once it reads one certain token."""
    with torch.no_grad():
        toy_lm.model.model.embed_tokens.weight[BAD] = torch.nan
    return toy_lm


def test_a_prompt_that_breaks_the_model_fails_alone(broken_lm):
    good, bad, scheduler = Reader(), Reader(), scheduler_of(broken_lm)
    scheduler.add(WaitingPrompt(good.request(PROMPT, 2)))
    scheduler.add(WaitingPrompt(bad.request((*PROMPT, BAD, 30), 3)))
    run(scheduler)
    assert {index: str(end) for index, end in bad.ends.items()} == dict.fromkeys(
        range(3), "the model gives infinite or not-a-number logits"
    )
    assert good.ids(2) == expected(broken_lm, PROMPT, 2)


def test_a_row_that_breaks_the_model_leaves_nothing_for_the_next(broken_lm):
    """Its last place in the cache is the next one's, and holds no numbers beyond what that one has written."""
    bad, good, late, scheduler = Reader(), Reader(), Reader(), scheduler_of(broken_lm)
    scheduler.add(WaitingPrompt(good.request(PROMPT, 1, replace(SAMPLING, max_new_tokens=40))))
    scheduler.add(WaitingPrompt(bad.request(PROMPT[:4], 1)))
    scheduler.step()
    assert scheduler._batch is not None
    scheduler._batch._tokens[1, scheduler._batch.lengths[1] - 1] = BAD
    run(scheduler, until=lambda: bool(bad.ends))
    assert isinstance(bad.ends[0], ArithmeticError)
    scheduler.add(WaitingPrompt(late.request(PROMPT[:3], 2)))
    run(scheduler)
    assert late.ids(2) == expected(broken_lm, PROMPT[:3], 2)
    assert good.ids(1) == expected(broken_lm, PROMPT, 1, replace(SAMPLING, max_new_tokens=40))


def test_a_request_of_many_samples_does_not_keep_a_later_one_waiting(toy_lm):
    many, one, scheduler = Reader(), Reader(), scheduler_of(toy_lm)
    scheduler.add(WaitingPrompt(many.request(PROMPT, 40)))
    scheduler.step()
    scheduler.add(WaitingPrompt(one.request(PROMPT[:5], 1)))
    scheduler.step()
    assert len(one.tokens[0]) == 2, "it has begun at once"
    run(scheduler, until=lambda: bool(one.ends))
    assert len(many.ends) <= 4
    run(scheduler)
    assert one.ids(1) == expected(toy_lm, PROMPT[:5], 1)
    assert many.ids(40) == expected(toy_lm, PROMPT, 40), "and nobody lost a token"


def test_requests_take_turns(toy_lm):
    readers, scheduler = [Reader() for _ in range(3)], scheduler_of(toy_lm, rows=6)
    for reader in readers:
        scheduler.add(WaitingPrompt(reader.request(PROMPT, 30)))
    scheduler.step()
    assert [len(reader.tokens) for reader in readers] == [2, 2, 2]


def test_prompts_of_one_request_have_one_turn_together(toy_lm):
    several, one, scheduler = Reader(), Reader(), scheduler_of(toy_lm, rows=4)
    for _ in range(50):
        scheduler.add(WaitingPrompt(several.request(PROMPT, 1)))
    scheduler.add(WaitingPrompt(one.request(PROMPT[:2], 1)))
    scheduler.step()
    assert list(one.tokens) == [0]


def test_a_reader_who_is_far_behind_waits_and_loses_nothing(toy_lm):
    slow, other, scheduler = Reader(), Reader(), scheduler_of(toy_lm, rows=1)
    scheduler.add(WaitingPrompt(slow.request(PROMPT, 1)))
    for _ in range(3):
        scheduler.step()
    slow.backlogged = True
    scheduler.add(WaitingPrompt(other.request(PROMPT[:3], 1)))
    run(scheduler)
    assert (len(slow.tokens[0]), slow.ends) == (4, {})
    assert other.ids(1) == expected(toy_lm, PROMPT[:3], 1)
    assert scheduler.busy
    assert not scheduler.ready
    slow.backlogged = False
    run(scheduler)
    assert slow.ids(1) == expected(toy_lm, PROMPT, 1)


def test_who_leaves_while_waiting_hears_of_the_end(toy_lm):
    first, gone, scheduler = Reader(), Reader(), scheduler_of(toy_lm, rows=1)
    scheduler.add(WaitingPrompt(first.request(PROMPT, 1)))
    scheduler.add(WaitingPrompt(gone.request(PROMPT, 5)))
    gone.left = True
    scheduler.step()
    assert gone.ends == dict.fromkeys(range(5), FinishReason.ABORT)
    assert not gone.tokens


def test_what_grows_out_of_a_lane_goes_on_in_the_next(toy_lm):
    reader, narrow, wide = Reader(), scheduler_of(toy_lm, width=14), scheduler_of(toy_lm)
    narrow.add(WaitingPrompt(reader.request(PROMPT, 2)))
    while narrow.busy:
        for row in narrow.step():
            wide.add(WaitingPrompt(row.request, row))
    assert {len(tokens) for tokens in reader.tokens.values()} == {5}
    run(wide)
    assert reader.ids(2) == expected(toy_lm, PROMPT, 2)
    assert set(reader.ends.values()) == {FinishReason.LENGTH}


LONG = tuple(range(20, 70))


def test_nobody_waits_while_a_long_prompt_is_read(toy_lm):
    running, long, late, scheduler = Reader(), Reader(), Reader(), scheduler_of(toy_lm, chunk_tokens=len(PROMPT))
    longer = replace(SAMPLING, max_new_tokens=40)
    scheduler.add(WaitingPrompt(running.request(PROMPT, 1, longer)))
    scheduler.step()
    scheduler.add(WaitingPrompt(long.request(LONG, 3)))
    scheduler.add(WaitingPrompt(late.request(PROMPT[:5], 1)))
    scheduler.step()
    assert (len(running.tokens[0]), len(late.tokens[0])) == (3, 2), "both go on"
    steps = 0
    while not long.tokens:
        before = len(running.tokens[0])
        scheduler.step()
        steps += 1
        assert len(running.tokens[0]) == before + 1, "a token a step, whatever is read"
    assert steps == -(-len(LONG) // len(PROMPT))
    run(scheduler)
    assert running.ids(1) == expected(toy_lm, PROMPT, 1, longer)
    assert late.ids(1) == expected(toy_lm, PROMPT[:5], 1)
    assert long.ids(3) == expected(toy_lm, LONG, 3)


def test_long_prompts_are_read_one_after_another_and_none_is_lost(toy_lm):
    many, readers, scheduler = (
        Reader(),
        [Reader() for _ in range(3)],
        scheduler_of(toy_lm, rows=2, chunk_tokens=len(PROMPT)),
    )
    scheduler.add(WaitingPrompt(many.request(PROMPT, 10)))
    scheduler.step()
    prompts = [LONG[place:] for place in range(3)]
    for reader, prompt in zip(readers, prompts, strict=True):
        scheduler.add(WaitingPrompt(reader.request(prompt, 2)))
    run(scheduler)
    assert many.ids(10) == expected(toy_lm, PROMPT, 10)
    for reader, prompt in zip(readers, prompts, strict=True):
        assert reader.ids(2) == expected(toy_lm, prompt, 2)


def test_who_leaves_while_their_prompt_is_read_makes_room(toy_lm):
    gone, other, scheduler = Reader(), Reader(), scheduler_of(toy_lm, rows=1, chunk_tokens=len(PROMPT))
    scheduler.add(WaitingPrompt(gone.request(LONG, 2)))
    for _ in range(2):
        scheduler.step()
    scheduler.add(WaitingPrompt(other.request(LONG[1:], 1)))
    gone.left = True
    run(scheduler)
    assert gone.ends == dict.fromkeys(range(2), FinishReason.ABORT)
    assert other.ids(1) == expected(toy_lm, LONG[1:], 1)


@pytest.mark.parametrize("place", [0, 30])
def test_a_long_prompt_that_breaks_the_model_fails_alone(broken_lm, place):
    bad, good, scheduler = Reader(), Reader(), scheduler_of(broken_lm, chunk_tokens=len(PROMPT))
    scheduler.add(WaitingPrompt(bad.request((*LONG[:place], BAD, *LONG[place:]), 2)))
    scheduler.add(WaitingPrompt(good.request(LONG, 2)))
    run(scheduler)
    assert [type(end) for end in bad.ends.values()] == [ArithmeticError] * 2
    assert good.ids(2) == expected(broken_lm, LONG, 2)


def test_each_gets_as_many_candidates_as_it_wants(toy_lm):
    seen: dict[int, list[tuple]] = {0: [], 2: [], 5: []}
    scheduler = scheduler_of(toy_lm)
    for top, tops in seen.items():

        def send(_: int, event: Event, tops: list[tuple] = tops) -> None:
            if isinstance(event, Token):
                tops.append(event.top_logprobs)

        scheduler.add(WaitingPrompt(replace(Reader().request(PROMPT, 1), top_logprobs=top, send=send, group=top)))
    run(scheduler)
    assert {top: {len(candidates) for candidates in tops} for top, tops in seen.items()} == {0: {0}, 2: {2}, 5: {5}}
    for two, five in zip(seen[2], seen[5], strict=True):
        assert [token for token, _ in two] == [token for token, _ in five[:2]]
        assert [logp for _, logp in two] == pytest.approx([logp for _, logp in five[:2]])


def test_a_step_that_fails_is_told_to_all_even_to_who_has_just_outgrown(toy_lm, monkeypatch):
    """A first token may make a sample too long for its batch: it is in no row then, and in no queue yet."""
    outgrown, running, waiting = Reader(), Reader(), Reader()
    scheduler = scheduler_of(toy_lm, rows=2, width=len(PROMPT) + 1)
    for reader, prompt in ((outgrown, PROMPT), (running, PROMPT[:3]), (waiting, PROMPT[:4])):
        scheduler.add(WaitingPrompt(reader.request(prompt, 1)))
    monkeypatch.setattr(scheduler._decoder, "feed", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as raised:
        scheduler.step()
    scheduler.fail(raised.value)
    assert [reader.ends for reader in (outgrown, running, waiting)] == [{0: raised.value}] * 3
    assert len(outgrown.tokens[0]) == 1
    assert not scheduler.busy
