"""Packed rows have transformers' own log-probabilities in every family that is let through, and others are refused."""

import math

import pytest
import torch
import transformers as hf

from afterbase.core.errors import UserError
from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.probe import prove, refuse_other_lengths
from afterbase.rollout.engine import Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.train.logprobs import token_logps
from zoo import LONGROPE, WIDTHS, WORKING, smallest, working, write

LENGTHS = [14, 1, 12, 13]
IDS = torch.randint(3, 300, (sum(LENGTHS),), generator=torch.Generator().manual_seed(1))


def of_samples(lm: LanguageModel) -> list[torch.Tensor]:
    hidden = lm.hidden(IDS, Segments.of(LENGTHS)).split(LENGTHS)
    parts = zip(hidden, IDS.split(LENGTHS), strict=True)
    return [token_logps(states[:-1], lm.head, ids[1:]) for states, ids in parts]


def of_transformers(folder) -> list[torch.Tensor]:
    model = hf.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    out = []
    for ids in IDS.split(LENGTHS):
        logps = model(input_ids=ids[None], use_cache=False).logits[0, :-1].log_softmax(-1)
        out.append(logps.gather(1, ids[1:, None])[:, 0])
    return out


@pytest.mark.parametrize("kind", WORKING)
def test_loss_gradient_saving_and_greedy_answers_are_those_of_transformers(kind, toy_tokenizer, tmp_path):
    folder = working(kind, tmp_path / "model", toy_tokenizer)
    lm = load(folder)
    with torch.no_grad():
        for ours, theirs in zip(of_samples(lm), of_transformers(folder), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
    prompt = IDS[:14].tolist()
    sampling = Sampling(temperature=0.0, max_new_tokens=8, stop_token_ids=(), seed=0)
    completion = LocalEngine(lm.model).generate([prompt, IDS[20:].tolist()], samples=1, sampling=sampling)[0][0]
    model = hf.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.tensor([prompt])
    with torch.no_grad():
        for _ in range(8):
            logits = model(input_ids=ids, use_cache=False).logits[:, -1]
            ids = torch.cat((ids, logits.argmax(-1, keepdim=True)), 1)
    assert list(completion.token_ids) == ids[0, len(prompt) :].tolist()

    torch.cat(of_samples(lm)).mean().neg().backward()
    of_model = torch.cat(of_transformers_with_gradient(model)).mean().neg()
    of_model.backward()
    gradients = dict(model.named_parameters())
    for name, parameter in lm.model.named_parameters():
        theirs = gradients[name].grad
        if theirs is None or parameter.grad is None:
            assert theirs is None or not theirs.any()
            continue
        torch.testing.assert_close(parameter.grad, theirs, rtol=1e-3, atol=1e-5)

    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.add_(0.01)
        save(lm, tmp_path / "moved")
        for ours, theirs in zip(of_samples(lm), of_transformers(tmp_path / "moved"), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


def of_transformers_with_gradient(model) -> list[torch.Tensor]:
    out = []
    for ids in IDS.split(LENGTHS):
        logps = model(input_ids=ids[None], use_cache=False).logits[0, :-1].log_softmax(-1)
        out.append(logps.gather(1, ids[1:, None])[:, 0])
    return out


def test_a_head_that_is_not_the_models_is_refused(toy_tokenizer, tmp_path, monkeypatch):
    lm = load(working("cohere, scale", tmp_path / "model", toy_tokenizer))
    monkeypatch.setattr("afterbase.model.probe.measure_head", lambda _model: (1.0, None))
    with pytest.raises(UserError, match="that the model's own attention and head give to each alone") as raised:
        prove(lm)
    assert "nats" in raised.value.got


def test_a_leak_that_no_logit_shows_is_refused(toy_tokenizer, tmp_path):
    """At the size that weights begin with, LFM2's short convolution moves its neighbours by 0.0002 of a state."""
    folder = write(tmp_path / "model", smallest("lfm2", len(toy_tokenizer)), toy_tokenizer, scale=1.0)
    with pytest.raises(UserError, match="must not see each other") as raised:
        load(folder)
    assert "states that differ by 0.000" in raised.value.got or "e-0" in raised.value.got


@pytest.fixture
def longrope(toy_tokenizer, tmp_path) -> LanguageModel:
    config = hf.Phi3Config(vocab_size=len(toy_tokenizer), **LONGROPE)
    return load(write(tmp_path / "model", config, toy_tokenizer))


def test_a_row_of_samples_on_both_sides_of_longropes_turn_is_refused(longrope):
    ids = torch.randint(300, (120,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for lengths in ([64, 56], [50, 14], [20]):
            packed = longrope.hidden(ids[: sum(lengths)], Segments.of(lengths)).split(lengths)
            for states, part in zip(packed, ids[: sum(lengths)].split(lengths), strict=True):
                alone = longrope.hidden(part, Segments.of([len(part)]))
                torch.testing.assert_close(states, alone, rtol=0, atol=1e-5)
        with pytest.raises(UserError, match="more than 64 tokens") as raised:
            longrope.hidden(ids, Segments.of([100, 20]))
    assert "samples of 20 and of 100 tokens" in raised.value.got
    with pytest.raises(UserError, match="more than 64 tokens"):  # an answer of 10 tokens to a prompt of 60
        longrope.hidden(ids[:70], Segments.of([60, 10], continues=[None, 0]))


def test_answers_under_longrope_do_not_depend_on_neighbours_or_are_refused(longrope):
    ids = torch.randint(300, (120,), generator=torch.Generator().manual_seed(0)).tolist()
    engine = LocalEngine(longrope.model)
    sampling = Sampling(temperature=0.0, max_new_tokens=12, stop_token_ids=(), seed=0)
    alone = engine.generate([ids[100:]], samples=1, sampling=sampling)[0][0]
    beside = engine.generate([ids[:50], ids[100:]], samples=1, sampling=sampling)[1][0]
    assert alone.token_ids == beside.token_ids
    with pytest.raises(UserError, match="do not depend on others' lengths") as raised:
        engine.generate([ids[:100], ids[100:]], samples=1, sampling=sampling)
    assert "positions that change beyond 64" in raised.value.got


def test_lengths_that_will_be_used_are_probed_before_training(longrope):
    refuse_other_lengths(longrope, 64, 5)
    with pytest.raises(UserError):
        refuse_other_lengths(longrope, 100, 20)


def test_chunks_are_seen_at_the_length_that_will_be_used(toy_tokenizer, tmp_path):
    """Llama 4 attends within chunks: right for short samples, and wrong for those that are longer than one."""
    sizes = {**WIDTHS, "head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 64}
    config = hf.Llama4TextConfig(vocab_size=len(toy_tokenizer), **sizes, attention_chunk_size=32)
    lm = load(write(tmp_path / "model", config, toy_tokenizer))
    refuse_other_lengths(lm, 32, 5)
    with pytest.raises(UserError, match="attention and head give to each alone") as raised:
        refuse_other_lengths(lm, 80, 5)
    assert "a sample of 80 tokens beside one of 5" in raised.value.got


@pytest.mark.parametrize("longest", [40, 1100])
def test_plain_families_pass_at_any_length(toy_tokenizer, tmp_path, longest):
    config = hf.LlamaConfig(vocab_size=len(toy_tokenizer), **{**WIDTHS, "max_position_embeddings": 2048})
    lm = load(write(tmp_path / "model", config, toy_tokenizer))
    refuse_other_lengths(lm, longest, 1)
    assert lm.model.config._attn_implementation == "afterbase_packed"
    with torch.no_grad():
        assert math.isfinite(float(lm.hidden(IDS, Segments.of(LENGTHS)).sum()))
