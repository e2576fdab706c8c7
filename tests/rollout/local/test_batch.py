"""Rows beside one another: each under settings of its own, and no other for having left in between."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from afterbase.model.decoding.decoder import Decoder, decoder_for
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.local import batch as batch_module
from afterbase.rollout.local.batch import Batch, Row, fill_holes
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.local.prefill import prefill

SAMPLING = Sampling(temperature=1.0, max_new_tokens=12, stop_token_ids=(5,), seed=3)
PROMPTS = [tuple(range(20, 20 + n)) for n in (9, 3, 14, 1)]
SETTINGS = [
    replace(SAMPLING, temperature=0.7, stop_token_ids=()),
    replace(SAMPLING, temperature=0.0, max_new_tokens=5),
    replace(SAMPLING, seed=9, stop_token_ids=(5, 6, 7)),
    replace(SAMPLING, max_new_tokens=1),
]


@pytest.fixture
def decoder(toy_lm) -> Decoder:
    return decoder_for(toy_lm.model, int8=False)


def begin(batch: Batch[Row], decoder: Decoder, rows: list[Row]) -> None:
    read = prefill(decoder, [(*row.prompt, *row.answered) for row in rows])
    batch.begin(zip(read, rows, strict=True))


def ended(batch: Batch[Row]) -> dict[tuple[int, ...], tuple[list[int], FinishReason | ArithmeticError]]:
    return {end.row.prompt: (end.token_ids.tolist(), end.finish) for end in batch.retire()}


def expected(toy_lm, prompt: tuple[int, ...], sampling: Sampling) -> tuple[list[int], FinishReason]:
    [[completion]] = LocalEngine(toy_lm.model).generate([prompt], samples=1, sampling=sampling)
    return completion.token_ids, completion.finish


@pytest.fixture
def rows() -> list[Row]:
    return [Row(prompt=p, sample=0, sampling=s) for p, s in zip(PROMPTS, SETTINGS, strict=True)]


@pytest.mark.parametrize("sort_steps", [1, 32])
@torch.inference_mode()
def test_each_row_ends_under_its_own_settings(toy_lm, decoder, rows, monkeypatch, sort_steps):
    monkeypatch.setattr(batch_module, "SORT_STEPS", sort_steps)
    batch = Batch(decoder, rows=4, prompt_width=14, own_width=12)
    begin(batch, decoder, rows)
    ends = ended(batch)
    assert list(ends) == [PROMPTS[3]], "one token was all it wanted"
    while batch.rows:
        batch.step()
        ends |= ended(batch)
    assert ends == {row.prompt: expected(toy_lm, row.prompt, row.sampling) for row in rows}


@torch.inference_mode()
def test_what_is_evicted_goes_on_where_it_was(toy_lm, decoder, rows):
    batch = Batch(decoder, rows=3, prompt_width=20, own_width=12)
    begin(batch, decoder, rows[:3])
    for _ in range(3):
        batch.step()
        assert not ended(batch)
    [evicted] = batch.evict([True, False, False])
    assert (evicted.prompt, len(evicted.answered), batch.free) == (PROMPTS[0], 4, 1)
    assert batch.evict([False, False]) == []
    ends = {}
    batch.step()
    ends |= ended(batch)
    begin(batch, decoder, [evicted])
    while batch.rows:
        ends |= ended(batch)
        if batch.rows:
            batch.step()
    assert ends == {row.prompt: expected(toy_lm, row.prompt, row.sampling) for row in rows[:3]}


@torch.inference_mode()
def test_a_row_without_finite_logits_ends_alone(toy_lm, decoder, rows):
    batch = Batch(decoder, rows=3, prompt_width=14, own_width=12)
    good, bad = prefill(decoder, [rows[0].prompt, rows[2].prompt])
    drawn = batch.begin([(good, rows[0]), (replace(bad, logits_V=bad.logits_V * torch.nan), rows[2])])
    assert drawn.finite_N.tolist() == [True, False]
    ends = ended(batch)
    assert [(prompt, type(finish)) for prompt, (_, finish) in ends.items()] == [(PROMPTS[2], ArithmeticError)]
    while batch.rows:
        batch.step()
        ends |= ended(batch)
    assert ends[PROMPTS[0]] == expected(toy_lm, PROMPTS[0], rows[0].sampling)


@torch.inference_mode()
def test_at_an_abort_all_end_as_they_are(decoder, rows):
    batch = Batch(decoder, rows=2, prompt_width=14, own_width=12)
    begin(batch, decoder, rows[:2])
    ends = [(end.row.prompt, len(end.token_ids), end.finish) for end in batch.abort(rows[2:])]
    assert ends == [(row.prompt, int(row in rows[:2]), FinishReason.ABORT) for row in rows]


def test_holes_are_filled_from_the_end():
    assert fill_holes(np.array([0, 2, 3, 5])).tolist() == [0, 5, 2, 3]
    assert fill_holes(np.array([], dtype=np.int64)).tolist() == []
