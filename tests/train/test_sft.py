"""Supervised fine-tuning: the same gradient however samples are packed, and nothing trained that should not be."""

import random
from typing import Any, cast

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import template_toys
from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, conversation
from afterbase.core.tokens import Tokenized, prompt_ids, tokenize
from afterbase.data.pack import Pack
from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel
from afterbase.train.sft import _plan, _split, accumulate, tokenize_for_training
from foreign import tokenizer
from sft_toys import CONFIG
from toys import toy_samples


@st.composite
def tokenized_samples(draw) -> list[Tokenized]:
    """Samples of 1 to 9 tokens, the first never trained, at least one token trained altogether."""
    samples = []
    for _ in range(draw(st.integers(1, 5))):
        ids = draw(st.lists(st.integers(0, 399), min_size=1, max_size=9))
        trained = [False] + [draw(st.booleans()) for _ in ids[1:]]
        samples.append(Tokenized(ids, trained))
    return [*samples, Tokenized([1, 2, 3], [False, True, True])]


def packed(samples: list[Tokenized]) -> Pack:
    return Pack(
        ids=[token for s in samples for token in s.ids],
        trained=[bears for s in samples for bears in s.trained],
        lengths=[len(s.ids) for s in samples],
        members=list(range(len(samples))),
    )


def gradients(lm: LanguageModel) -> dict[str, torch.Tensor]:
    out = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in lm.modules().named_parameters()}
    lm.modules().zero_grad()
    return out


def naive_losses(lm: LanguageModel, samples: list[Tokenized]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy of all trained tokens, and of those two ahead, one sample and one token at a time."""
    main, ahead = [], []
    for sample in samples:
        ids, segments = torch.tensor(sample.ids), Segments.of([len(sample.ids)])
        hidden = lm.hidden(ids, segments)
        logits, mtp_logits = lm.logits(hidden), lm.logits(lm.mtp_hidden(ids, hidden, segments))
        for at, bears in enumerate(sample.trained):
            if bears:
                main.append(F.cross_entropy(logits[at - 1], ids[at]))
            if bears and at >= 2:
                ahead.append(F.cross_entropy(mtp_logits[at - 2], ids[at]))
    return torch.stack(main).mean(), torch.stack(ahead).mean()


def test_gradients_do_not_depend_on_packing_or_accumulation(exact_lm):
    @given(tokenized_samples(), st.randoms(use_true_random=False), st.integers(1, 4))
    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def check(samples: list[Tokenized], rng: random.Random, count: int) -> None:
        main, ahead = naive_losses(exact_lm, samples)
        (main + 0.1 * ahead).backward()
        expected = gradients(exact_lm)
        shuffled = rng.sample(samples, len(samples))
        rows = [packed(shuffled[i::count]) for i in range(count) if shuffled[i::count]]
        losses = accumulate(exact_lm, rows, 0.1)
        assert losses == pytest.approx((main.item(), ahead.item()), abs=1e-9)
        for name, gradient in gradients(exact_lm).items():
            torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")

    check()


def test_a_neighbour_in_the_row_adds_no_loss(exact_lm):
    """One that bears no loss changes neither number, though its tokens come right behind a sample's end."""
    sample, silent = Tokenized([5, 6, 7, 8], [False, True, True, True]), Tokenized([9, 10, 11], [False] * 3)
    alone = accumulate(exact_lm, [packed([sample])], 0.1)
    beside = accumulate(exact_lm, [packed([silent, sample, silent])], 0.1)
    assert beside == pytest.approx(alone, abs=1e-10)


def test_a_row_without_trained_tokens_is_no_division_by_zero(toy_lm):
    loss, mtp_loss = accumulate(toy_lm, [packed([Tokenized([5, 6, 7], [False] * 3)])], 0.1)
    assert (loss, mtp_loss) == (0.0, 0.0)
    assert all(not g.any() for g in gradients(toy_lm).values())


def test_without_its_weight_the_prediction_module_stays_out(toy_lm):
    _, mtp_loss = accumulate(toy_lm, [packed([Tokenized([5, 6, 7], [False, True, True])])], 0.0)
    assert mtp_loss == 0.0
    assert all(p.grad is None for p in toy_lm.mtp.parameters())
    toy_lm.mtp = None
    assert accumulate(toy_lm, [packed([Tokenized([5, 6, 7], [False, True, True])])], 0.1)[1] == 0.0


def test_a_detached_prediction_loss_moves_its_own_module_alone(toy_lm):
    rows = [packed([Tokenized([5, 6, 7, 8], [False, True, True, True])])]

    def measured(**options) -> dict[str, torch.Tensor]:
        accumulate(toy_lm, rows, options.pop("weight", 0.1), **options)
        return {n: g.clone() for n, g in gradients(toy_lm).items()}

    without, both, detached = measured(weight=0.0), measured(), measured(detached=True)
    trunk = [name for name in without if name.startswith("trunk.")]
    assert all(torch.equal(detached[name], without[name]) for name in trunk)
    assert not all(torch.equal(both[name], without[name]) for name in trunk)
    module = [name for name in without if name.startswith("mtp.")]
    assert all(torch.equal(detached[name], both[name]) for name in module)
    assert any(detached[name].any() for name in module)


def test_the_plan_shows_every_sample_once_an_epoch(toy_lm):
    tokenized = tokenize_for_training(toy_lm, toy_samples(20), CONFIG).tokenized
    config = CONFIG.model_copy(update={"epochs": 3, "rows_per_step": 2})
    plan = _plan(tokenized, range(20), config, seed=1)
    assert all(1 <= len(rows) <= 2 for rows in plan)
    members = [m for rows in plan for row in rows for m in row.members]
    assert len(members) == 60
    epochs = [members[i : i + 20] for i in (0, 20, 40)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert epochs[0] != epochs[1], "each epoch in an order of its own"
    assert plan == _plan(tokenized, range(20), config, seed=1) != _plan(tokenized, range(20), config, seed=2)


def test_long_samples_are_counted_and_shares_reported(toy_lm):
    long = Sample(messages=conversation("?", "word " * 100), domain="code", kind="open", problem_id=None, producer={})
    samples = [*toy_samples(3), long]
    examples = tokenize_for_training(toy_lm, samples, CONFIG)
    report = examples.report()
    assert len(examples.tokenized) == report["samples"] == 3
    tokens = len(tokenize(toy_lm.tokenizer, long.messages).ids)
    assert (report["too_long"], report["dropped"]) == (1, [{"id": long.id, "reason": "too long", "tokens": tokens}])
    masks = [tokenize(toy_lm.tokenizer, s.messages).trained for s in samples[:3]]
    share = sum(map(sum, masks)) / sum(map(len, masks))
    assert report["trained_share"] == {"arithmetic/original": pytest.approx(share, abs=1e-4)}


def test_long_samples_are_split_where_that_is_asked(toy_lm):
    """All their tokens are there once, and all bear the loss that they bore, but for a piece's first."""
    long = Sample(messages=conversation("?", "word " * 100), domain="code", kind="open", problem_id=None, producer={})
    whole = tokenize(toy_lm.tokenizer, long.messages)
    pieces = tokenize_for_training(toy_lm, [long], CONFIG.model_copy(update={"too_long": "split"})).tokenized
    assert len(pieces) > 1
    assert all(len(piece.ids) <= 64 for piece in pieces)
    assert [token for piece in pieces for token in piece.ids] == whole.ids
    bears = [b for piece in pieces for b in piece.trained]
    assert all(bears[at] == (whole.trained[at] and at % 64 != 0) for at in range(len(whole.ids)))


@pytest.mark.parametrize("held_out", [0.01, 0.3])
def test_held_out_samples_are_whole_and_never_trained(toy_lm, held_out):
    long = Sample(messages=conversation("?", "word " * 100), domain="code", kind="open", problem_id=None, producer={})
    samples = [*toy_samples(19), long]
    examples = tokenize_for_training(toy_lm, samples, CONFIG.model_copy(update={"too_long": "split"}))
    training, measured = _split(examples, held_out, seed=0)
    assert sorted(training + measured) == list(range(len(examples.tokenized)))
    sides = [{examples.samples[i] for i in side} for side in (training, measured)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == max(1, round(held_out * len(set(examples.samples))))


def test_without_a_sample_to_hold_out_it_is_refused(toy_lm):
    with pytest.raises(UserError, match="held_out"):
        _split(tokenize_for_training(toy_lm, toy_samples(1), CONFIG), 0.5, seed=0)


def test_no_sample_is_longer_than_the_models_context(toy_lm):
    toy_lm.model.config.max_position_embeddings = 32
    long = Sample(messages=conversation("?", "word " * 10), domain="code", kind="open", problem_id=None, producer={})
    examples = tokenize_for_training(toy_lm, [*toy_samples(3), long], CONFIG)
    assert [i for i, _ in examples.too_long] == [long.id]


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [Sample(messages=[{"role": "user", "content": "?"}], domain="d", kind="k", problem_id=None, producer={})],
        [Sample(messages=conversation("?", "word " * 100), domain="d", kind="k", problem_id=None, producer={})],
    ],
    ids=["no samples", "no assistant", "all too long"],
)
def test_nothing_to_train_is_refused(toy_lm, samples):
    with pytest.raises(UserError, match="at least one token") as raised:
        tokenize_for_training(toy_lm, samples, CONFIG)
    assert f"{len(samples)} samples" in raised.value.got


def _sample(*texts: str, **extra) -> Sample:
    messages = [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 9, texts, strict=False)]
    return Sample(messages=messages, domain="d", kind="k", problem_id=None, producer={}, extra=extra)


def test_a_template_that_rewrites_history_makes_a_row_a_turn(toy_lm, toy_tokenizer, monkeypatch):
    """Each answer is trained behind what it would be sampled behind."""
    monkeypatch.setattr(toy_lm, "tokenizer", tokenizer("bytes", "qwen3"))
    sample = _sample("a?", "<think>\nHm.\n</think>\n\nb", "c?", "d")
    examples = tokenize_for_training(toy_lm, [sample], CONFIG)
    assert examples.samples == [sample.id] * 2
    for row, turn in zip(examples.tokenized, (1, 3), strict=True):
        prompt = prompt_ids(toy_lm.tokenizer, sample.messages[:turn])
        assert row.ids[: len(prompt)] == prompt
        assert row.trained.index(True) == len(prompt)


def test_samples_longer_than_the_chunk_are_left_out_at_the_start(toy_lm):
    toy_lm.model.config.attention_chunk_size = 12
    short, long = _sample("a?", "b"), _sample("a?", "b " * 30)
    examples = tokenize_for_training(toy_lm, [short, long], CONFIG)
    assert examples.samples == [short.id]
    assert [i for i, _ in examples.too_long] == [long.id]


def test_turns_that_are_marked_so_are_context_alone(toy_lm):
    sample = _sample("a?", "b", "c?", "d", untrained=[1])
    examples = tokenize_for_training(toy_lm, [sample], CONFIG)
    spans = [i for i, bears in zip(examples.tokenized[0].ids, examples.tokenized[0].trained, strict=True) if bears]
    assert toy_lm.tokenizer.decode(spans) == "d<|end|>"
    with pytest.raises(UserError, match=r"extra\.untrained"):
        tokenize_for_training(toy_lm, [_sample("a?", "b", untrained="1")], CONFIG)


def test_what_a_template_refuses_is_left_out_with_its_reason(toy_lm):
    odd = Sample(messages=[{"role": "assistant", "content": "Hello"}], domain="d", kind="k", problem_id=None,
                 producer={})  # fmt: skip
    kept = _sample("a", "b")
    examples = tokenize_for_training(toy_lm, [odd, kept], CONFIG)
    assert examples.samples == [kept.id]
    (dropped,) = cast(Any, examples.report()["dropped"])
    assert dropped["id"] == odd.id
    assert "begins with the assistant's `Hello`" in dropped["reason"]
    with pytest.raises(UserError, match=f"begins with the assistant's `Hello`, in sample {odd.id}"):
        tokenize_for_training(toy_lm, [odd], CONFIG)


def test_calls_of_tools_are_trained_with_their_definitions(toy_lm, monkeypatch):
    name, city = "look_up", {"city": "Paris"}
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}]
    calls = [{"type": "function", "function": {"name": name, "arguments": city}}]
    monkeypatch.setattr(toy_lm, "tokenizer", template_toys.tokenizer(template_toys.source("qwen2.5")))
    sample = _sample("How is Paris?", "", tools=tools, turns={"1": {"tool_calls": calls}})
    (row,) = tokenize_for_training(toy_lm, [sample], CONFIG.model_copy(update={"row_tokens": 512})).tokenized
    context, trained = (
        toy_lm.tokenizer.decode([i for i, bears in zip(row.ids, row.trained, strict=True) if bears is wanted])
        for wanted in (False, True)
    )
    assert '"parameters": {"type": "object"}' in context
    assert trained == '<tool_call>\n{"name": "look_up", "arguments": {"city": "Paris"}}\n</tool_call><|im_end|>'
