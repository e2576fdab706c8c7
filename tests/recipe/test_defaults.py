"""Defaults by size: within what published runs used, larger models slower, and rows that fit."""

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.recipe import defaults
from afterbase.train.config import Optimisation

STAGES = get_args(defaults.Stage)
SIZES = (4_000_000, 135_000_000, 7_000_000_000, 70_000_000_000, 671_000_000_000)


@pytest.mark.parametrize("stage", STAGES)
def test_a_larger_model_never_learns_faster(stage):
    rates = [defaults.learning_rate(stage, size, lora=False) for size in SIZES]
    assert all(larger <= smaller for smaller, larger in pairwise(rates))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("size", SIZES)
def test_an_adapter_learns_faster_by_what_its_size_bears(stage, size):
    full, lora = (defaults.learning_rate(stage, size, lora=lora) for lora in (False, True))
    assert lora == pytest.approx((5 if size <= 20_000_000 else 10) * full)


def test_preferences_of_seven_billion_have_the_published_rate():
    assert 5e-7 <= defaults.learning_rate("dpo", 7_000_000_000, lora=False) <= 5e-6


@given(steps=st.integers(1, 10**6))
def test_any_schedule_takes_the_rate_and_the_warm_up_is_within_the_run(steps):
    table = defaults.optimisation("sft", SIZES[1], steps=steps, lora=False)
    ends = {
        s: Optimisation.model_validate({**table, "schedule": s}).last_rate for s in ("cosine", "linear", "constant")
    }
    assert ends["cosine"] == ends["linear"] == pytest.approx(table["learning_rate"] / 10)
    assert ends["constant"] == table["learning_rate"]
    assert 0 <= table["warmup_steps"] <= min(100, steps)


@given(tokens=st.integers(1, 10**8), longest=st.integers(1, 16384), context=st.integers(64, 10**6))
def test_a_row_holds_the_longest_sample_where_the_context_does(tokens, longest, context):
    size = defaults.row_tokens(tokens, longest, context)
    assert min(longest, context) <= size <= context


@given(rows=st.integers(1, 10**7))
def test_an_epoch_has_some_steps(rows):
    size = defaults.rows_per_step(rows)
    assert size == 1 or rows / size >= 25
