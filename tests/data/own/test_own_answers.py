"""A teacher's answers as samples: each prompt asked, and what failed or was cut off dropped with its reason."""

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import read_samples
from afterbase.core.store import Store
from afterbase.data.generate.teacher import Teacher
from afterbase.data.own.own_answers import make_answers
from afterbase.data.own.own_rows import OwnRows
from afterbase.data.own.own_sets import make_prompts
from afterbase.rollout.chat_model import Failure, Reason, Reply

PROMPTS = [{"prompt": f"{n} + 1?"} for n in range(20)]
FAILED = Reply(failure=Failure(reason=Reason.TIMEOUT, detail="too slow"))


class Echo:
    """Says each question again, but for those that `others` answer."""

    def __init__(self, others: dict[str, Reply]) -> None:
        self._others = others

    def describe(self):
        return {"name": "echo"}

    def complete(self, requests, *, on_finished=None):
        replies = []
        for index, request in enumerate(requests):
            question = request.messages[-1]["content"]
            replies.append(self._others.get(question, Reply(text=f"You asked: {question}", tokens=5)))
            if on_finished is not None:
                on_finished(index, replies[-1])
        return replies


def _answers(tmp_path, monkeypatch, others, **settings):
    monkeypatch.setattr(Teacher, "model_asked", lambda self, cache, *, account: Echo(others))
    store = Store(tmp_path / "store")
    prompts = make_prompts(store, "data", OwnRows.of(PROMPTS, store=store), seed=0)
    made = make_answers(store, "answers", prompts, Teacher(model="tiny-v3", **settings), seed=0)
    return read_samples(made.payload / "samples.parquet")


def test_every_prompt_is_asked_and_each_answer_is_a_sample(tmp_path, monkeypatch):
    samples = _answers(tmp_path, monkeypatch, {}, samples=2)
    assert len(samples) == 40
    asked = {sample.messages[0]["content"] for sample in samples}
    assert asked == {row["prompt"] for row in PROMPTS}
    assert all(sample.response == f"You asked: {sample.messages[0]['content']}" for sample in samples)


def test_what_is_no_answer_is_dropped_with_its_reason(tmp_path, monkeypatch):
    others = {"0 + 1?": FAILED, "1 + 1?": Reply(text="2, for", finish="length", tokens=2), "2 + 1?": Reply(text=" ")}
    samples = _answers(tmp_path, monkeypatch, others, most_failed=0.1)
    rules = {sample.messages[0]["content"]: sample.dropped.rule for sample in samples if sample.dropped is not None}
    assert rules == {"0 + 1?": "no answer: timeout", "1 + 1?": "truncated", "2 + 1?": "empty"}


def test_too_many_failures_end_the_run(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="may stay without an answer"):
        _answers(tmp_path, monkeypatch, {"0 + 1?": FAILED, "1 + 1?": FAILED}, most_failed=0.05)


def test_a_teacher_that_ends_no_answer_is_refused(tmp_path, monkeypatch):
    cut = {row["prompt"]: Reply(text="so", finish="length", tokens=1) for row in PROMPTS}
    with pytest.raises(UserError, match="answers at least one prompt") as caught:
        _answers(tmp_path, monkeypatch, cut)
    assert "truncated (20)" in caught.value.got
