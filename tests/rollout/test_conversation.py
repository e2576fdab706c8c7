"""Turns with a model in this process: what the local engine answers, piece by piece, within the context."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from afterbase.core.errors import UserError
from afterbase.core.tokens import prompt_ids
from afterbase.model.stop import stop_token_ids
from afterbase.rollout.conversation import LocalConversation
from afterbase.rollout.engine import Sampling
from afterbase.rollout.engine_model import text_of
from afterbase.rollout.local.local_engine import LocalEngine


@contextmanager
def talking(lm, **settings) -> Iterator[LocalConversation]:
    asked = {"system": None, "temperature": 0.0, "max_tokens": 12, "seed": 0} | settings
    talk = LocalConversation(lm, **asked)
    try:
        yield talk
    finally:
        talk.close()


def test_answers_are_the_local_engines_with_all_turns_before(toy_lm):
    with talking(toy_lm, system="Be brief.") as talk:
        said = ["".join(talk.reply(text)) for text in ("1+1?", "And 2+2?")]
    turns = [{"role": "system", "content": "Be brief."}]
    sampling = Sampling(temperature=0.0, max_new_tokens=12, stop_token_ids=stop_token_ids(toy_lm), seed=0)
    for text, answer in zip(("1+1?", "And 2+2?"), said, strict=True):
        turns.append({"role": "user", "content": text})
        prompt = prompt_ids(toy_lm.tokenizer, turns)
        [[expected]] = LocalEngine(toy_lm.model).generate([prompt], samples=1, sampling=sampling)
        assert answer == text_of(toy_lm, expected)
        turns.append({"role": "assistant", "content": answer})
    assert talk.turns == turns[1:]


def test_the_earliest_exchange_is_forgotten_where_the_context_is_full(toy_lm):
    with talking(toy_lm, max_tokens=8) as talk:
        long = "1 2 3 4 5 6 7 8 9 " * 8
        while not talk.forgotten:
            assert "".join(talk.reply(long)) is not None
            assert len(talk.turns) < 60
        assert talk.turns[0]["role"] == "user"
        before = list(talk.turns)
        with pytest.raises(UserError, match="fit in the model's context"):
            list(talk.reply(long * 40))
        assert talk.turns == before


def test_an_answer_that_is_left_early_is_kept_as_far_as_it_was_heard(toy_lm):
    with talking(toy_lm, max_tokens=200, temperature=1.0) as talk:
        pieces = talk.reply("1+1?")
        heard = next(pieces)
        pieces.close()
        assert talk.turns[-1] == {"role": "assistant", "content": heard}
        assert "".join(talk.reply("Go on.")) == talk.turns[-1]["content"]


def test_a_model_of_broken_weights_is_told(toy_lm):
    with torch.no_grad():
        toy_lm.head.weight.fill_(float("nan"))
    with talking(toy_lm) as talk, pytest.raises(UserError, match="a model answers"):
        list(talk.reply("1+1?"))
