"""Recorded experts against those of the model's own routers in a forward over prompt and answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from afterbase.rollout.engine import Completion, Sampling
from afterbase.rollout.local import speculative
from afterbase.rollout.local.local_engine import LocalEngine

PROMPTS = [[3, 1, 4, 1, 5, 9], [2, 6], [5, 3, 5, 8, 9, 7, 9, 3], [1]]
SAMPLING = Sampling(temperature=1.0, max_new_tokens=12, stop_token_ids=tuple(range(40)), seed=3)


@pytest.fixture
def model(toy_lm):
    toy_lm.model.set_attn_implementation("eager")
    return toy_lm.model


@torch.no_grad()
def experts_of_a_forward(model, ids: list[int]) -> np.ndarray:
    """(positions, MoE layers, K), each position's sorted."""
    seen: list[torch.Tensor] = []
    hooks = [
        layer.mlp.experts.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1].sort(-1).values))
        for layer in model.model.layers
        if hasattr(layer.mlp, "experts")
    ]
    model(torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return torch.stack(seen, dim=1).numpy()


def check(model, results: list[list[Completion]]) -> None:
    lengths = set()
    for prompt, row in zip(PROMPTS, results, strict=True):
        for completion in row:
            recorded = completion.routed_experts
            assert recorded is not None
            assert recorded.dtype == np.uint8
            ids = [*prompt, *completion.token_ids]
            np.testing.assert_array_equal(np.sort(recorded, axis=-1), experts_of_a_forward(model, ids[:-1]))
            lengths.add(len(completion.token_ids))
    assert len(lengths) > 1


@pytest.mark.parametrize("max_rows", [1, 3, 128])
def test_routing_is_that_of_a_forward(model, max_rows):
    engine = LocalEngine(model, max_rows=max_rows, record_routing=True)
    check(model, engine.generate(PROMPTS, samples=4, sampling=SAMPLING))


def test_rejected_drafts_leave_no_trace(toy_lm, model, monkeypatch):
    monkeypatch.setattr(speculative, "gain", lambda **_: 2.0)
    with torch.no_grad():
        model.lm_head.weight.mul_(10.0)  # few likely tokens, so that some drafts are accepted
    engine = LocalEngine(model, max_rows=3, draft=toy_lm.mtp, record_routing=True)
    sampling = replace(SAMPLING, stop_token_ids=tuple(range(20)), max_new_tokens=20)
    check(model, engine.generate(PROMPTS, samples=8, sampling=sampling))
    assert engine.speculation is not None
    assert engine.speculation.drafted > engine.speculation.accepted > 0


def test_nothing_is_recorded_unasked_nor_of_what_never_started(model):
    engine = LocalEngine(model, max_rows=1)
    assert engine.generate(PROMPTS, samples=1, sampling=SAMPLING)[0][0].routed_experts is None
    engine = LocalEngine(model, max_rows=1, record_routing=True)
    aborted = list(engine.stream(PROMPTS, samples=1, sampling=SAMPLING, abort=lambda: True))
    assert [completion.routed_experts for completion in aborted] == [None] * len(PROMPTS)
