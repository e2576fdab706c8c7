"""Questions to answers: limits, prompts that do not fit, and answers that are missing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.benchmarks.question_answers import Question, answers
from afterbase.eval.benchmarks.subject import Subject
from afterbase.rollout.chat_model import ChatRequest, Failure, Reason, Reply


class Server:
    """Answers with its limit; of 100 tokens of context, a prompt takes one a character."""

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    def describe(self) -> dict[str, str]:
        return {"name": "server"}

    def complete(
        self, requests: Sequence[ChatRequest], *, on_finished: Callable[[int, Reply], None] | None = None
    ) -> list[Reply]:
        self.asked += requests
        results = [self._answer(request) for request in requests]
        for index, result in enumerate(results):
            if on_finished is not None:
                on_finished(index, result)
        return results

    def _answer(self, request: ChatRequest) -> Reply:
        prompt = len(request.messages[0]["content"])
        limit = request.max_tokens or max(1, 100 - prompt)
        if prompt + limit > 100:
            return Reply(failure=Failure(reason=Reason.REFUSED, detail="HTTP 400: context_length_exceeded"))
        return Reply(text=str(limit), tokens=limit, finish="length")


def _subject(*, context: int | None, plain: bool = False) -> Subject:
    def opened(_: Path) -> Server:
        return Server()

    return Subject(name="toy", digest=None, context=context, plain=plain, open=opened)


def _asked(lengths: Sequence[int], *, context: int | None, max_tokens: int, plain: bool = False):
    questions = [Question(prompt="x" * length, temperature=0.0) for length in lengths]
    done: list[int] = []
    server = Server()
    got = answers(
        _subject(context=context, plain=plain),
        server,
        questions,
        max_tokens=max_tokens,
        seed=0,
        on_answered=done.append,
    )
    return got, done, server


@pytest.mark.parametrize("context", [None, 100])
def test_a_crowded_prompt_gets_what_is_left_and_a_longer_one_no_answer(context):
    got, done, _ = _asked([10, 50, 100], context=context, max_tokens=60)
    assert [(r.tokens, r.failure is not None) for r in got] == [(60, False), (50, False), (0, True)]
    assert done == [1, 2]


def test_a_limit_above_the_context_asks_for_all_that_fits():
    got, _, server = _asked([10, 99, 100], context=100, max_tokens=8192)
    assert [r.tokens for r in got] == [90, 1, 0]
    assert [request.max_tokens for request in server.asked] == [None] * 3


def test_a_plain_model_answers_in_half_its_context():
    got, _, server = _asked([10, 51], context=100, max_tokens=8192, plain=True)
    assert [(r.tokens, r.failure is not None) for r in got] == [(50, False), (0, True)]
    assert all(request.plain for request in server.asked)


def test_sampled_runs_carry_a_seed_and_greedy_ones_none():
    server = Server()
    questions = [Question(prompt="x", temperature=t, run=run) for run, t in enumerate((0.0, 0.7))]
    answers(_subject(context=100), server, questions, max_tokens=5, seed=3)
    assert [(request.seed, request.sample) for request in server.asked] == [(None, 0), (3, 1)]


@pytest.mark.parametrize(
    ("detail", "remedy"), [("HTTP 503: busy", "run again"), ("the model's chat template refuses", "--plain")]
)
def test_a_missing_answer_is_no_answer(detail, remedy):
    class Broken(Server):
        def _answer(self, request: ChatRequest) -> Reply:
            return Reply(failure=Failure(reason=Reason.OVERLOADED, detail=detail))

    with pytest.raises(UserError, match="1 of 1 without one") as raised:
        answers(_subject(context=None), Broken(), [Question(prompt="x", temperature=0.0)], max_tokens=5, seed=0)
    assert remedy in raised.value.remedy
