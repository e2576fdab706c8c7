"""Samples in the order of their prompts, which are read in passes of a bounded size, and not before they are needed."""

import torch

from afterbase.rollout.engine import Sampling
from afterbase.rollout.local.prefill import Prefilled
from afterbase.rollout.local.prompt_queue import PREFILL_TOKENS, PromptQueue

SAMPLING = Sampling(temperature=1.0, max_new_tokens=2, stop_token_ids=(), seed=0)


def queue_of(lengths: list[int], *, most: int, samples: int = 2) -> tuple[PromptQueue, list[list[int]]]:
    """A queue, and the lengths read in each pass so far."""
    passes: list[list[int]] = []

    def read(prompts):
        passes.append([len(prompt) for prompt in prompts])
        return [Prefilled(cached_LWD=torch.zeros(1), logits_V=torch.tensor(float(len(p)))) for p in prompts]

    prompts = [tuple(range(length)) for length in lengths]
    return PromptQueue(prompts, samples=samples, sampling=SAMPLING, read=read, most=most), passes


def test_rows_come_in_order_each_with_what_was_read_of_its_prompt():
    queue, passes = queue_of([5, 4, 3], most=2)
    assert passes == []
    first = [(int(read.logits_V), len(row.prompt), row.sample) for read, row in queue.take(3)]
    assert (first, passes, len(queue)) == ([(5, 5, 0), (5, 5, 1), (4, 4, 0)], [[5, 4]], 3)
    rest = [(int(read.logits_V), len(row.prompt), row.sample) for read, row in queue.take(9)]
    assert (rest, passes, len(queue)) == ([(4, 4, 1), (3, 3, 0), (3, 3, 1)], [[5, 4], [3]], 0)


def test_a_pass_has_a_bounded_number_of_tokens_or_one_prompt():
    half = PREFILL_TOKENS // 2
    queue, passes = queue_of([PREFILL_TOKENS + 1, half, half, 1], most=9, samples=1)
    assert len(list(queue.take(4))) == 4
    assert passes == [[PREFILL_TOKENS + 1], [half, half], [1]]


def test_what_is_left_is_never_read():
    queue, passes = queue_of([5, 4], most=9)
    assert [(len(row.prompt), row.sample) for row in queue.rest()] == [(5, 0), (5, 1), (4, 0), (4, 1)]
    assert (len(queue), passes) == (0, [])
