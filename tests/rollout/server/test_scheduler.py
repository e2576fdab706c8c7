"""Rows beside one another: what one does wrong ends it alone, and turns are shared out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch

from afterbase.model.decoding.decoder import decoder_for
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.server import scheduler as lane_module
from afterbase.rollout.server.scheduler import Event, Lane, Token, Waiting, Wanted

SAMPLING = Sampling(temperature=1.0, max_new_tokens=12, stop_token_ids=(), seed=3)
PROMPT = tuple(range(20, 29))
BAD = 7


@dataclass
class Reader:
    """What came of a request, by sample; `behind` is what the lane is told."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    ends: dict[int, Event] = field(default_factory=dict)
    left: bool = False
    behind: bool = False

    def wanted(self, prompt: tuple[int, ...], samples: int, sampling: Sampling = SAMPLING) -> Wanted:
        return Wanted(
            prompt=prompt,
            samples=samples,
            sampling=sampling,
            top=0,
            send=self._send,
            unwanted=lambda _: self.left,
            behind=lambda: self.behind,
            request=id(self),
        )

    def _send(self, sample: int, event: Event) -> None:
        if isinstance(event, Token):
            self.tokens.setdefault(sample, []).append(event.id)
        else:
            assert sample not in self.ends
            self.ends[sample] = event

    def ids(self, samples: int) -> list[list[int]]:
        return [self.tokens[sample] for sample in range(samples)]


def lane_of(lm, *, rows: int = 4, width: int = 512) -> Lane:
    return Lane(decoder_for(lm.model, int8=False), width=width, rows=rows, kept=True)


def run(lane: Lane, until: Callable[[], bool] = lambda: False) -> None:
    """Steps until nobody is left, or as said."""
    for _ in range(1000):
        if not lane.ready or until():
            return
        assert lane.step() == []
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
    good, bad, lane = Reader(), Reader(), lane_of(broken_lm)
    lane.add(Waiting(good.wanted(PROMPT, 2)))
    lane.add(Waiting(bad.wanted((*PROMPT, BAD, 30), 3)))
    run(lane)
    assert {index: str(end) for index, end in bad.ends.items()} == dict.fromkeys(
        range(3), "the model gives infinite or not-a-number logits"
    )
    assert good.ids(2) == expected(broken_lm, PROMPT, 2)


def test_a_row_that_breaks_the_model_leaves_nothing_for_the_next(broken_lm):
    """Its last place in the cache is the next one's, and holds no numbers beyond what that one has written."""
    bad, good, late, lane = Reader(), Reader(), Reader(), lane_of(broken_lm)
    lane.add(Waiting(good.wanted(PROMPT, 1, replace(SAMPLING, max_new_tokens=40))))
    lane.add(Waiting(bad.wanted(PROMPT[:4], 1)))
    lane.step()
    lane._rows[1].tokens[-1] = BAD
    run(lane, until=lambda: bool(bad.ends))
    assert isinstance(bad.ends[0], ArithmeticError)
    lane.add(Waiting(late.wanted(PROMPT[:3], 2)))
    run(lane)
    assert late.ids(2) == expected(broken_lm, PROMPT[:3], 2)
    assert good.ids(1) == expected(broken_lm, PROMPT, 1, replace(SAMPLING, max_new_tokens=40))


def test_a_request_of_many_samples_does_not_keep_a_later_one_waiting(toy_lm):
    many, one, lane = Reader(), Reader(), lane_of(toy_lm)
    lane.add(Waiting(many.wanted(PROMPT, 40)))
    lane.step()
    lane.add(Waiting(one.wanted(PROMPT[:5], 1)))
    lane.step()
    assert len(one.tokens[0]) == 2, "it has begun at once"
    run(lane, until=lambda: bool(one.ends))
    assert len(many.ends) <= 4
    run(lane)
    assert one.ids(1) == expected(toy_lm, PROMPT[:5], 1)
    assert many.ids(40) == expected(toy_lm, PROMPT, 40), "and nobody lost a token"


def test_requests_take_turns(toy_lm):
    readers, lane = [Reader() for _ in range(3)], lane_of(toy_lm, rows=6)
    for reader in readers:
        lane.add(Waiting(reader.wanted(PROMPT, 30)))
    lane.step()
    assert [len(reader.tokens) for reader in readers] == [2, 2, 2]


def test_prompts_of_one_request_have_one_turn_together(toy_lm):
    several, one, lane = Reader(), Reader(), lane_of(toy_lm, rows=4)
    for _ in range(50):
        lane.add(Waiting(several.wanted(PROMPT, 1)))
    lane.add(Waiting(one.wanted(PROMPT[:2], 1)))
    lane.step()
    assert list(one.tokens) == [0]


def test_a_reader_who_is_far_behind_waits_and_loses_nothing(toy_lm):
    slow, other, lane = Reader(), Reader(), lane_of(toy_lm, rows=1)
    lane.add(Waiting(slow.wanted(PROMPT, 1)))
    for _ in range(3):
        lane.step()
    slow.behind = True
    lane.add(Waiting(other.wanted(PROMPT[:3], 1)))
    run(lane)
    assert (len(slow.tokens[0]), slow.ends) == (4, {})
    assert other.ids(1) == expected(toy_lm, PROMPT[:3], 1)
    assert lane.busy
    assert not lane.ready
    slow.behind = False
    run(lane)
    assert slow.ids(1) == expected(toy_lm, PROMPT, 1)


def test_who_leaves_while_waiting_hears_of_the_end(toy_lm):
    first, gone, lane = Reader(), Reader(), lane_of(toy_lm, rows=1)
    lane.add(Waiting(first.wanted(PROMPT, 1)))
    lane.add(Waiting(gone.wanted(PROMPT, 5)))
    gone.left = True
    lane.step()
    assert gone.ends == dict.fromkeys(range(5), FinishReason.ABORT)
    assert not gone.tokens


def test_what_grows_out_of_a_lane_goes_on_in_the_next(toy_lm):
    reader, narrow, wide = Reader(), lane_of(toy_lm, width=14), lane_of(toy_lm)
    narrow.add(Waiting(reader.wanted(PROMPT, 2)))
    while narrow.busy:
        for row in narrow.step():
            wide.add(Waiting(row.wanted, row))
    assert {len(tokens) for tokens in reader.tokens.values()} == {5}
    run(wide)
    assert reader.ids(2) == expected(toy_lm, PROMPT, 2)
    assert set(reader.ends.values()) == {FinishReason.LENGTH}


LONG = tuple(range(20, 70))


@pytest.fixture
def pieces(monkeypatch):
    """What is longer than PROMPT is read in pieces."""
    monkeypatch.setattr(lane_module, "READ_TOKENS", len(PROMPT))


@pytest.mark.usefixtures("pieces")
def test_nobody_waits_while_a_long_prompt_is_read(toy_lm):
    running, long, late, lane = Reader(), Reader(), Reader(), lane_of(toy_lm)
    longer = replace(SAMPLING, max_new_tokens=40)
    lane.add(Waiting(running.wanted(PROMPT, 1, longer)))
    lane.step()
    lane.add(Waiting(long.wanted(LONG, 3)))
    lane.add(Waiting(late.wanted(PROMPT[:5], 1)))
    lane.step()
    assert (len(running.tokens[0]), len(late.tokens[0])) == (3, 2), "both go on"
    steps = 0
    while not long.tokens:
        before = len(running.tokens[0])
        lane.step()
        steps += 1
        assert len(running.tokens[0]) == before + 1, "a token a step, whatever is read"
    assert steps == -(-len(LONG) // len(PROMPT))
    run(lane)
    assert running.ids(1) == expected(toy_lm, PROMPT, 1, longer)
    assert late.ids(1) == expected(toy_lm, PROMPT[:5], 1)
    assert long.ids(3) == expected(toy_lm, LONG, 3)


@pytest.mark.usefixtures("pieces")
def test_long_prompts_are_read_one_after_another_and_none_is_lost(toy_lm):
    many, readers, lane = Reader(), [Reader() for _ in range(3)], lane_of(toy_lm, rows=2)
    lane.add(Waiting(many.wanted(PROMPT, 10)))
    lane.step()
    prompts = [LONG[place:] for place in range(3)]
    for reader, prompt in zip(readers, prompts, strict=True):
        lane.add(Waiting(reader.wanted(prompt, 2)))
    run(lane)
    assert many.ids(10) == expected(toy_lm, PROMPT, 10)
    for reader, prompt in zip(readers, prompts, strict=True):
        assert reader.ids(2) == expected(toy_lm, prompt, 2)


@pytest.mark.usefixtures("pieces")
def test_who_leaves_while_their_prompt_is_read_makes_room(toy_lm):
    gone, other, lane = Reader(), Reader(), lane_of(toy_lm, rows=1)
    lane.add(Waiting(gone.wanted(LONG, 2)))
    for _ in range(2):
        lane.step()
    lane.add(Waiting(other.wanted(LONG[1:], 1)))
    gone.left = True
    run(lane)
    assert gone.ends == dict.fromkeys(range(2), FinishReason.ABORT)
    assert other.ids(1) == expected(toy_lm, LONG[1:], 1)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("place", [0, 30])
def test_a_long_prompt_that_breaks_the_model_fails_alone(broken_lm, place):
    bad, good, lane = Reader(), Reader(), lane_of(broken_lm)
    lane.add(Waiting(bad.wanted((*LONG[:place], BAD, *LONG[place:]), 2)))
    lane.add(Waiting(good.wanted(LONG, 2)))
    run(lane)
    assert [type(end) for end in bad.ends.values()] == [ArithmeticError] * 2
    assert good.ids(2) == expected(broken_lm, LONG, 2)


def test_each_gets_as_many_candidates_as_it_wants(toy_lm):
    seen: dict[int, list[tuple]] = {0: [], 2: [], 5: []}
    lane = lane_of(toy_lm)
    for top, tops in seen.items():

        def send(_: int, event: Event, tops: list[tuple] = tops) -> None:
            if isinstance(event, Token):
                tops.append(event.top)

        lane.add(Waiting(replace(Reader().wanted(PROMPT, 1), top=top, send=send, request=top)))
    run(lane)
    assert {top: {len(candidates) for candidates in tops} for top, tops in seen.items()} == {0: {0}, 2: {2}, 5: {5}}
    for two, five in zip(seen[2], seen[5], strict=True):
        assert [token for token, _ in two] == [token for token, _ in five[:2]]
        assert [logp for _, logp in two] == pytest.approx([logp for _, logp in five[:2]])
