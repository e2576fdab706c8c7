"""Drafting moves no token: same answers as plain decoding, whatever the module, the batch and the temperature."""

import random
from dataclasses import replace

import pytest
import torch

from afterbase.core.tokens import user_prompt_ids
from afterbase.data.domains import DOMAINS
from afterbase.model.folders import find
from afterbase.model.load import LanguageModel, load
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.local import speculative
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.local.speculative import Speculation, gain

SAMPLING = Sampling(temperature=1.0, max_new_tokens=14, stop_token_ids=(5, 7), seed=3)


@pytest.fixture(scope="module")
def tiny() -> LanguageModel:
    """The shipped model, whose module is trained; its forward is transformers' own."""
    lm = load(find("tiny-v3"))
    lm.model.set_attn_implementation("eager")
    return lm


@pytest.fixture
def always(monkeypatch):
    """Draft at every step, however large the batch and bad the draft."""
    monkeypatch.setattr(speculative, "gain", lambda **_: 2.0)


def prompts(lm: LanguageModel) -> list[list[int]]:
    """The beginning of a document of each domain, some questions, and a single token."""
    documents = [domain.pretraining_text(random.Random(2)) for domain in DOMAINS.values()]
    begin = lm.tokenizer.bos_token_id
    assert isinstance(begin, int)
    questions = [user_prompt_ids(lm.tokenizer, question) for question in ("What is 12 + 7?", "Hello!")]
    return [*([begin, *lm.tokenizer(text)["input_ids"][:20]] for text in documents), *questions, [begin]]


def both(lm: LanguageModel, sampling: Sampling, *, samples: int = 3, **options) -> tuple[LocalEngine, list, list]:
    """The engine with drafts, its completions, and those of plain decoding."""
    engine = LocalEngine(lm.model, draft=lm.mtp, **options)
    ours = engine.generate(prompts(lm), samples=samples, sampling=sampling)
    return engine, ours, LocalEngine(lm.model, **options).generate(prompts(lm), samples=samples, sampling=sampling)


def answers(results: list[list[Completion]]) -> list:
    return [[(completion.token_ids, completion.finish) for completion in row] for row in results]


def report(engine: LocalEngine) -> Speculation:
    assert engine.speculation is not None
    return engine.speculation


@pytest.mark.parametrize("max_rows", [1, 7, 128])
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 1.3])
def test_a_random_module_moves_no_token(toy_lm, always, temperature, max_rows):
    """The share of answers that differ, which rounding at a boundary might bring, is 0 of 21 here."""
    engine, ours, plain = both(toy_lm, replace(SAMPLING, temperature=temperature), max_rows=max_rows)
    assert answers(ours) == answers(plain)
    assert report(engine).drafted > 0
    assert report(engine).plain_steps == 0


@pytest.mark.parametrize(("temperature", "max_rows"), [(0.0, 1), (0.7, 7), (1.0, 128), (1.3, 7)])
def test_a_trained_module_moves_no_token_and_is_mostly_right(tiny, always, temperature, max_rows):
    sampling = replace(SAMPLING, temperature=temperature, max_new_tokens=20, stop_token_ids=())
    engine, ours, plain = both(tiny, sampling, samples=1 if max_rows == 1 else 3, max_rows=max_rows)
    assert answers(ours) == answers(plain)
    assert report(engine).accepted > 0.5 * report(engine).drafted


def test_tokens_and_logps_are_the_modules_own(tiny, always):
    """Greedy against `generate`; every log-probability against a forward of the model."""
    _, ours, _ = both(tiny, replace(SAMPLING, temperature=0.0, max_new_tokens=12, stop_token_ids=()), samples=1)
    for prompt, [completion] in zip(prompts(tiny), ours, strict=True):
        mask = torch.ones(1, len(prompt), dtype=torch.long)
        expected = tiny.model.generate(
            torch.tensor([prompt]), attention_mask=mask, do_sample=False, max_new_tokens=12, eos_token_id=None
        )
        assert completion.token_ids == expected[0, len(prompt) :].tolist()
    for temperature in (0.7, 1.3):
        _, ours, _ = both(tiny, replace(SAMPLING, temperature=temperature), samples=1)
        for prompt, row in zip(prompts(tiny), ours, strict=True):
            for completion in row:
                ids = torch.tensor([prompt + completion.token_ids])
                with torch.no_grad():
                    logits = tiny.model(ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
                logps = (logits / temperature).log_softmax(-1).gather(1, ids[0, len(prompt) :, None])[:, 0]
                torch.testing.assert_close(torch.tensor(completion.logps), logps, atol=1e-4, rtol=0)


def test_tokens_after_the_first_follow_the_exact_distribution(toy_lm, always):
    """The second token goes through the verification of a draft, the third through acceptance: chi-square of each
    given the most probable tokens before it, five bins and four degrees of freedom, below 1 - 1e-4."""
    prompt, count = [3, 1, 4, 1, 5], 6000
    engine = LocalEngine(toy_lm.model, draft=toy_lm.mtp)
    toy_lm.model.set_attn_implementation("eager")
    with torch.no_grad():
        toy_lm.model.lm_head.weight.mul_(10.0)  # few likely tokens, so that a random module is right now and then
    engine.sync(1)
    sampling = Sampling(temperature=1.0, max_new_tokens=3, stop_token_ids=(), seed=0)
    sampled = torch.tensor([c.token_ids for c in engine.generate([prompt], samples=count, sampling=sampling)[0]])
    assert 0 < report(engine).accepted < report(engine).drafted
    for place in (1, 2):
        before = sampled[:, :place].unique(dim=0, return_counts=True)
        head = before[0][before[1].argmax()]
        drawn = sampled[(sampled[:, :place] == head).all(-1), place]
        with torch.no_grad():
            logits = toy_lm.model(torch.tensor([[*prompt, *head.tolist()]]), use_cache=False).logits[0, -1]
        probability = logits.double().softmax(-1)
        top = probability.topk(4).indices
        observed = torch.bincount(drawn, minlength=len(probability))[top]
        expected = torch.cat((probability[top], 1 - probability[top].sum(0, keepdim=True))) * len(drawn)
        counts = torch.cat((observed, (len(drawn) - observed.sum())[None]))
        assert expected.min() > 5
        assert ((counts - expected) ** 2 / expected).sum().item() < 23.51


def test_an_answer_ends_at_the_first_or_the_second_token_of_an_accepted_pair(tiny, always):
    """Every token of a greedy answer in turn as the stop token, so that it ends a pair at either place."""
    prompt = prompts(tiny)[:1]
    free = replace(SAMPLING, temperature=0.0, max_new_tokens=16, stop_token_ids=())
    engine = LocalEngine(tiny.model, draft=tiny.mtp)
    [[whole]] = engine.generate(prompt, samples=1, sampling=free)
    assert report(engine).accepted >= 4
    steps = {}
    for stop in set(whole.token_ids):
        [[cut]] = engine.generate(prompt, samples=1, sampling=replace(free, stop_token_ids=(stop,)))
        length = whole.token_ids.index(stop) + 1
        assert cut.token_ids == whole.token_ids[:length]
        assert cut.logps == pytest.approx(whole.logps[:length], abs=1e-5)
        assert cut.finish is FinishReason.STOP
        assert length == 1 + report(engine).steps + report(engine).accepted
        steps[length] = report(engine).steps
    pairs = [length for length in steps if length > 1 and steps.get(length - 1) == steps[length]]
    assert pairs


def test_top_p_is_the_same_with_drafts(tiny, always):
    sampling = replace(SAMPLING, temperature=1.3, top_p=0.8)
    engine, ours, plain = both(tiny, sampling)
    assert answers(ours) == answers(plain)
    assert report(engine).accepted > 0
    for our_row, plain_row in zip(ours, plain, strict=True):
        for our, other in zip(our_row, plain_row, strict=True):
            assert our.kept_tokens is not None
            assert other.kept_tokens is not None
            assert our.kept_tokens.tolist() == other.kept_tokens.tolist()


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_the_length_limit_holds_within_a_pair(tiny, always, limit):
    sampling = replace(SAMPLING, temperature=0.0, max_new_tokens=limit, stop_token_ids=())
    engine, ours, plain = both(tiny, sampling, samples=1)
    assert answers(ours) == answers(plain)
    assert {len(row[0].token_ids) for row in ours} == {limit}
    assert report(engine).accepted + report(engine).drafted + len(ours) >= limit


def test_a_useless_module_is_given_up_and_the_answers_stay(toy_lm):
    sampling = replace(SAMPLING, max_new_tokens=150, stop_token_ids=())
    engine, ours, plain = both(toy_lm, sampling, samples=1, max_rows=3)
    assert answers(ours) == answers(plain)
    assert report(engine).drafted < 200 < report(engine).plain_steps


def test_drafts_may_come_and_go(tiny, monkeypatch):
    """After plain steps the module reads what it missed, in pieces, of each row what that one lacks."""
    rng = random.Random(0)
    gains = iter([0.5] * (2 * speculative.CATCH_UP) + [rng.choice((0.5, 2.0)) for _ in range(1000)])
    monkeypatch.setattr(speculative, "gain", lambda **_: next(gains))
    sampling = replace(SAMPLING, max_new_tokens=90, stop_token_ids=())
    engine, ours, plain = both(tiny, sampling, samples=1, max_rows=5)
    assert answers(ours) == answers(plain)
    assert report(engine).plain_steps > 2 * speculative.CATCH_UP
    assert report(engine).accepted > 0.7 * report(engine).drafted > 0


@pytest.mark.parametrize(
    ("rows", "acceptance", "layers", "faster"),
    [(1, 0.9, 4, True), (8, 0.9, 4, True), (64, 1.0, 4, False), (1, 0.2, 4, False), (8, 0.8, 61, True)],
)
def test_the_rule(rows, acceptance, layers, faster):
    assert (gain(rows=rows, acceptance=acceptance, layers=layers) > 1) == faster


def test_weights_of_the_module_are_taken_at_each_sync(tiny, always):
    engine = LocalEngine(tiny.model, draft=tiny.mtp)
    sampling = replace(SAMPLING, temperature=0.0, stop_token_ids=())
    engine.generate(prompts(tiny), samples=1, sampling=sampling)
    before = report(engine).accepted
    assert tiny.mtp is not None
    kept = tiny.mtp.eh_proj.weight.detach().clone()
    with torch.no_grad():
        tiny.mtp.eh_proj.weight.neg_()
    with pytest.raises(AssertionError, match="sync"):
        engine.generate(prompts(tiny), samples=1, sampling=sampling)
    engine.sync(1)
    engine.generate(prompts(tiny), samples=1, sampling=sampling)
    assert report(engine).accepted < before
    with torch.no_grad():
        tiny.mtp.eh_proj.weight.copy_(kept)


def test_without_a_module_nothing_is_reported(toy_lm):
    engine = LocalEngine(toy_lm.model)
    engine.generate([[1]], samples=1, sampling=SAMPLING)
    assert engine.speculation is None
