import random

import pytest

from afterbase.core.sample import Problem
from afterbase.core.tokens import user_prompt_ids
from afterbase.data.domains import DOMAINS
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.producer import ModelProducer, text_of


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    rng = random.Random(0)
    return [DOMAINS["arithmetic"].problem(rng) for _ in range(3)]


def completion(token_ids: list[int], finish: FinishReason) -> Completion:
    return Completion(token_ids=token_ids, logps=[-1.0] * len(token_ids), finish=finish, prompt_index=0, sample_index=0)


def test_responses_are_the_engines_completions_as_text(toy_lm, problems):
    system = "Think."
    producer = ModelProducer(toy_lm, "key", 1.3, 12)
    groups = producer.respond(problems, system=system, samples=4, seed=5)
    stop = toy_lm.tokenizer.eos_token_id
    completions = LocalEngine(toy_lm.model).generate(
        [user_prompt_ids(toy_lm.tokenizer, p.prompt, system=system) for p in problems],
        samples=4,
        sampling=Sampling(temperature=1.3, max_new_tokens=12, stop_token_ids=(stop,), seed=5),
    )
    assert [[r.tokens for r in group] for group in groups] == [[len(c.token_ids) for c in g] for g in completions]
    assert [[r.text for r in group] for group in groups] == [[text_of(toy_lm, c) for c in g] for g in completions]
    truncated = [[c.token_ids[-1] != stop for c in g] for g in completions]
    assert [[r.truncated for r in group] for group in groups] == truncated


def test_the_same_seed_gives_the_same_text_and_another_seed_another(toy_lm, problems):
    producer = ModelProducer(toy_lm, "key", 1.0, 8)
    first, again, other = (producer.respond(problems, system=None, samples=2, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_temperature_0_is_greedy(toy_lm, problems):
    [group] = ModelProducer(toy_lm, "key", 0.0, 8).respond(problems[:1], system=None, samples=3, seed=1)
    assert group[0] == group[1] == group[2]


def test_the_system_prompt_reaches_the_model(toy_lm, problems):
    producer = ModelProducer(toy_lm, "key", 1.0, 8)
    without, with_it = (producer.respond(problems, system=system, samples=1, seed=1) for system in (None, "Think."))
    assert without != with_it


def test_each_response_is_counted_as_it_ends(toy_lm, problems):
    ended = []
    ModelProducer(toy_lm, "key", 1.0, 4).respond(
        problems, system=None, samples=2, seed=0, on_finished=lambda: ended.append(1)
    )
    assert len(ended) == 6


def test_lineage_names_the_checkpoint_and_how_it_was_sampled(toy_lm):
    assert ModelProducer(toy_lm, "key", 0.7, 8).describe() == {
        "name": "model",
        "checkpoint": "key",
        "temperature": 0.7,
        "max_new_tokens": 8,
    }


@pytest.mark.parametrize("text", ["a , b .  c 'll  (12)\n\nx", "été – 中文", " leading and trailing ", ""])
def test_text_survives_tokens_unchanged_and_without_the_stop_token(toy_lm, text: str):
    ids = toy_lm.tokenizer(text)["input_ids"]
    stop = toy_lm.tokenizer.eos_token_id
    assert text_of(toy_lm, completion([*ids, stop], FinishReason.STOP)) == text
    assert text_of(toy_lm, completion(ids, FinishReason.LENGTH)) == text


def test_a_special_token_inside_an_answer_is_seen(toy_lm):
    user = toy_lm.tokenizer.convert_tokens_to_ids("<|user|>")
    ids = [*toy_lm.tokenizer("1")["input_ids"], user, toy_lm.tokenizer.eos_token_id]
    assert text_of(toy_lm, completion(ids, FinishReason.STOP)) == "1<|user|>"
