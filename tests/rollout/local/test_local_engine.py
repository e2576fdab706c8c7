"""The local engine: equal to `generate` when greedy, and deaf to how samples are batched."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, LlamaConfig, LlamaForCausalLM

from afterbase.core.errors import UserError
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine

VOCABULARY = 61
STOP = 5


@pytest.fixture(scope="module")
def model() -> DeepseekV3ForCausalLM:
    torch.manual_seed(0)
    config = DeepseekV3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        n_shared_experts=1,
        n_routed_experts=8,
        num_experts_per_tok=2,
        n_group=4,
        topk_group=2,
        first_k_dense_replace=1,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        max_position_embeddings=128,
        initializer_range=0.15,
    )
    return DeepseekV3ForCausalLM(config).eval()


PROMPTS = [
    torch.randint(VOCABULARY, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in (9, 3, 14, 1, 9, 6)
]
SAMPLING = Sampling(temperature=1.0, max_new_tokens=12, stop_token_ids=(STOP, 7), seed=3)


def answers(results: list[list[Completion]]) -> list[list[list[int]]]:
    return [[completion.token_ids for completion in row] for row in results]


def test_greedy_equals_generate(model):
    sampling = replace(SAMPLING, temperature=0.0, stop_token_ids=(STOP,))
    results = LocalEngine(model, max_rows=4).generate(PROMPTS, samples=2, sampling=sampling)
    for prompt, row in zip(PROMPTS, results, strict=True):
        expected = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=STOP,
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        assert [completion.token_ids for completion in row] == [expected, expected]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 1.3])
def test_logps_are_those_of_the_module(model, temperature):
    results = LocalEngine(model).generate(PROMPTS, samples=4, sampling=replace(SAMPLING, temperature=temperature))
    for prompt, row in zip(PROMPTS, results, strict=True):
        for completion in row:
            with torch.no_grad():
                logits = model(torch.tensor([prompt + completion.token_ids]), use_cache=False).logits[0]
            logps = torch.log_softmax(logits[len(prompt) - 1 : -1] / (temperature or 1.0), -1)
            chosen = logps.gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logps), chosen, atol=1e-4, rtol=0)


def test_finish_reasons_and_places(model):
    results = LocalEngine(model).generate(PROMPTS, samples=5, sampling=SAMPLING)
    reasons = set()
    for prompt_index, row in enumerate(results):
        for sample_index, completion in enumerate(row):
            assert (completion.prompt_index, completion.sample_index) == (prompt_index, sample_index)
            assert len(completion.logps) == len(completion.token_ids)
            stops = [token in SAMPLING.stop_token_ids for token in completion.token_ids]
            assert not any(stops[:-1])
            assert stops[-1] == (completion.finish is FinishReason.STOP)
            assert stops[-1] or len(completion.token_ids) == SAMPLING.max_new_tokens
            reasons.add(completion.finish)
    assert reasons == {FinishReason.STOP, FinishReason.LENGTH}


@pytest.mark.parametrize("max_rows", [1, 7])
def test_samples_do_not_depend_on_the_batch(model, max_rows):
    """Up to rounding at a boundary of the cumulative distribution: none of 48 samples here."""
    expected = answers(LocalEngine(model, max_rows=128).generate(PROMPTS, samples=8, sampling=SAMPLING))
    assert answers(LocalEngine(model, max_rows=max_rows).generate(PROMPTS, samples=8, sampling=SAMPLING)) == expected


def test_samples_do_not_depend_on_order_company_or_length_limit(model):
    engine = LocalEngine(model, max_rows=7)
    expected = answers(engine.generate(PROMPTS, samples=3, sampling=SAMPLING))
    assert answers(engine.generate(PROMPTS[::-1], samples=3, sampling=SAMPLING))[::-1] == expected
    assert answers(engine.generate(PROMPTS[2:3], samples=2, sampling=SAMPLING)) == [expected[2][:2]]
    shorter = answers(engine.generate(PROMPTS, samples=3, sampling=replace(SAMPLING, max_new_tokens=5)))
    assert shorter == [[tokens[:5] for tokens in row] for row in expected]
    other_seed = answers(engine.generate(PROMPTS, samples=3, sampling=replace(SAMPLING, seed=4)))
    assert other_seed != expected


def test_one_token_is_drawn_from_the_prompt_alone(model):
    """2,000 samples of one token: chi-square of the five most probable tokens and the rest, below 1 - 1e-4."""
    sampling = replace(SAMPLING, max_new_tokens=1)
    row = LocalEngine(model).generate(PROMPTS[:1], samples=2000, sampling=sampling)[0]
    with torch.no_grad():
        probability = model(torch.tensor(PROMPTS[:1]), use_cache=False).logits[0, -1].double().softmax(-1)
    top = probability.topk(5).indices
    observed = torch.bincount(torch.tensor([c.token_ids[0] for c in row]), minlength=VOCABULARY)[top]
    expected = torch.cat((probability[top], 1 - probability[top].sum(0, keepdim=True))) * 2000
    counts = torch.cat((observed, 2000 - observed.sum(0, keepdim=True)))
    assert ((counts - expected) ** 2 / expected).sum().item() < 25.75  # five degrees of freedom


def test_duplicates_are_sampled_once_and_reported_each(model):
    finished: list[Completion] = []
    prompts = [PROMPTS[0], PROMPTS[1], PROMPTS[0]]
    results = LocalEngine(model).generate(prompts, samples=3, sampling=SAMPLING, on_finished=finished.append)
    assert answers(results)[0] == answers(results)[2]
    assert [completion.prompt_index for row in results for completion in row] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    by_place = sorted(finished, key=lambda completion: (completion.prompt_index, completion.sample_index))
    assert by_place == [completion for row in results for completion in row]


def test_weights_are_taken_at_each_sync_and_never_mixed(model):
    engine = LocalEngine(model)
    sampling = replace(SAMPLING, temperature=0.0)
    before = answers(engine.generate(PROMPTS, samples=1, sampling=sampling))
    kept = {name: weight.clone() for name, weight in model.state_dict().items()}
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    with pytest.raises(AssertionError, match="sync"):
        engine.generate(PROMPTS, samples=1, sampling=sampling)
    engine.sync(7)
    results = engine.generate(PROMPTS, samples=1, sampling=sampling)
    assert {completion.weight_version for row in results for completion in row} == {7}
    assert answers(results) == answers(LocalEngine(model).generate(PROMPTS, samples=1, sampling=sampling)) != before
    model.load_state_dict(kept)
    engine.sync(8)
    assert answers(engine.generate(PROMPTS, samples=1, sampling=sampling)) == before


def test_groups_are_whole_and_come_as_they_end(model):
    engine = LocalEngine(model, max_rows=3)
    expected = engine.generate(PROMPTS, samples=3, sampling=SAMPLING)
    stream = engine.groups(PROMPTS, samples=3, sampling=SAMPLING)
    first = next(stream)
    groups = [first, *stream]
    assert [c.sample_index for group in groups for c in group] == [0, 1, 2] * len(PROMPTS)
    assert sorted(groups, key=lambda group: group[0].prompt_index) == expected


def test_what_is_aborted_ends_with_what_it_has(model):
    """After the first of 18 samples has ended: running ones are cut short, waiting ones never start."""
    engine, finished = LocalEngine(model, max_rows=4), []
    expected = answers(engine.generate(PROMPTS, samples=3, sampling=SAMPLING))
    for completion in engine.stream(PROMPTS, samples=3, sampling=SAMPLING, abort=lambda: bool(finished)):
        finished.append(completion)
        whole = expected[completion.prompt_index][completion.sample_index]
        assert whole[: len(completion.token_ids)] == completion.token_ids
        assert (completion.token_ids != whole) == (completion.finish is FinishReason.ABORT)
    assert len(finished) == 18
    assert sum(c.finish is FinishReason.ABORT for c in finished) >= 14
    assert any(not c.token_ids for c in finished)


def test_a_small_budget_runs_fewer_rows_at_once(model):
    expected = answers(LocalEngine(model).generate(PROMPTS, samples=2, sampling=SAMPLING))
    engine = LocalEngine(model, token_budget=14 + 12)
    assert answers(engine.generate(PROMPTS, samples=2, sampling=SAMPLING)) == expected


def test_a_sequence_beyond_the_budget_is_refused(model):
    with pytest.raises(UserError, match="token budget") as raised:
        LocalEngine(model, token_budget=25).generate(PROMPTS, samples=1, sampling=SAMPLING)
    assert "14 tokens + max_new_tokens 12 = 26" in raised.value.got


def test_an_empty_prompt_is_refused(model):
    with pytest.raises(UserError, match="at least one token"):
        LocalEngine(model).generate([[1], []], samples=1, sampling=SAMPLING)


def test_a_diverged_model_is_refused(model):
    kept = model.lm_head.weight.detach().clone()
    with torch.no_grad():
        model.lm_head.weight[3, 4] = torch.nan
    with pytest.raises(UserError, match="finite"):
        LocalEngine(model).generate(PROMPTS, samples=1, sampling=SAMPLING)
    with torch.no_grad():
        model.lm_head.weight.copy_(kept)


@pytest.mark.parametrize("max_rows", [2, 128])
def test_top_p_tells_the_tokens_it_kept(model, max_rows):
    """The renormalised distribution of each position is the module's, over the kept tokens alone."""
    sampling = replace(SAMPLING, temperature=0.8, top_p=0.7)
    results = LocalEngine(model, max_rows=max_rows).generate(PROMPTS, samples=3, sampling=sampling)
    assert answers(results) == answers(LocalEngine(model, max_rows=5).generate(PROMPTS, samples=3, sampling=sampling))
    for prompt, row in zip(PROMPTS, results, strict=True):
        for completion in row:
            assert completion.kept_tokens is not None
            assert completion.kept_tokens.shape == (len(completion.token_ids), 8)
            kept = torch.from_numpy(np.unpackbits(completion.kept_tokens, axis=1, bitorder="little")).bool()
            assert not kept[:, VOCABULARY:].any()
            with torch.no_grad():
                logits = model(torch.tensor([prompt + completion.token_ids]), use_cache=False).logits[0]
            logits = logits[len(prompt) - 1 : -1] / sampling.temperature
            mass = torch.where(kept[:, :VOCABULARY], logits.softmax(-1), 0.0).sum(-1)
            assert (mass >= sampling.top_p - 1e-5).all()
            assert mass.min() < 0.95
            logps = logits.masked_fill(~kept[:, :VOCABULARY], -torch.inf).log_softmax(-1)
            chosen = logps.gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logps), chosen, atol=1e-4, rtol=0)


def test_all_tokens_are_kept_unless_top_p_says_otherwise(model):
    engine = LocalEngine(model)
    for sampling in (SAMPLING, replace(SAMPLING, temperature=0.0, top_p=0.5)):
        assert engine.generate(PROMPTS[:1], samples=1, sampling=sampling)[0][0].kept_tokens is None


@pytest.mark.parametrize("top_p", [0.0, -0.1, 1.1])
def test_a_top_p_that_is_no_share_is_refused(top_p):
    with pytest.raises(UserError, match="top_p"):
        replace(SAMPLING, top_p=top_p)


def test_no_prompts_give_no_results(model):
    assert LocalEngine(model).generate([], samples=4, sampling=SAMPLING) == []


def test_drafting_and_routing_are_for_deepseek_v3_alone():
    config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    with pytest.raises(UserError, match="only a DeepSeek-V3"):
        LocalEngine(LlamaForCausalLM(config).eval(), record_routing=True)
