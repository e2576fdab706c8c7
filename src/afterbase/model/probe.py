"""What a model has to prove before it is trained: its packed rows give each sample what the family gives it alone.

Compared are log-probabilities, by transformers' own `model(...).logits` of each sample: what a family does to its
scores, its positions or its logits, and what a packed row leaves out, is found here and not in a loss that falls all
the same. Models run in evaluation mode, as they do in training (no dropout).
"""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel

from afterbase.core.errors import UserError
from afterbase.model import attention
from afterbase.model.attention import Segments
from afterbase.model.families import WORK, unsupported
from afterbase.model.fused.fused_layers import unfused
from afterbase.model.head import Head, measure_head, trunk

if TYPE_CHECKING:
    from afterbase.model.load import LanguageModel

_LENGTHS = (5, 1, 7)
_TOLERANCE = 1e-3  # nats, of log-probabilities in float32
_LEAK = 1e-5  # of the largest state: what other samples in the row may move, by rounding
_EAGER_TOKENS = 1024  # longer samples are compared by a kernel without the table of scores, where the family has one
_LAST = 32  # positions of a long sample that are compared: what depends on the length is there
_FAULTS = (
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    RuntimeError,
    KeyError,
    IndexError,
    NotImplementedError,
)


@torch.no_grad()
def prove(lm: "LanguageModel") -> None:
    """Find out what the model's head does; UserError unless packed rows have the family's own log-probabilities.

    Those are the log-probabilities by `model(...).logits` of each sample alone. Nor may a sample's states move with its
    neighbours, not even by what is too little to be seen in a logit.
    """
    ids = _random_ids(lm, sum(_LENGTHS))
    with _refusing(lm):
        with own_attention(lm.model, "eager"):
            lm.scale, lm.cap = measure_head(lm.model)
        packed = lm.hidden(ids, Segments.of(_LENGTHS, lm.device))
        _refuse_leak(lm, ids, packed)
        ours = token_log_probabilities(packed, lm.head, ids, _LENGTHS)
        with own_attention(lm.model, "eager"):  # with all that is peculiar to it
            theirs = logps_alone(lm.model, ids, _LENGTHS)
        _refuse_difference(lm, ours, theirs, f"samples of {max(_LENGTHS)} tokens")


@torch.no_grad()
def refuse_other_lengths(lm: "LanguageModel", longest: int, shortest: int) -> None:
    """UserError unless a row of a sample of each length gives both what they get alone: for what depends on the length.

    Positions that are scaled by the longest of a row, windows and chunks are right for short samples, and the lengths
    that will be used tell. Costs two forward passes over such a row, and no table of scores where the family can
    do without.
    """
    if longest <= max(_LENGTHS):
        return
    lengths = (longest, shortest)
    ids = _random_ids(lm, sum(lengths))
    compared = torch.arange(sum(lengths), device=lm.device)[max(0, longest - _LAST) :]
    compared = compared[compared != longest - 1]  # the next token is another sample's
    compared = compared[:-1]
    with _refusing(lm):
        ours = lm.hidden(ids, Segments.of(lengths, lm.device))
        kernel = "sdpa" if longest > _EAGER_TOKENS and lm.model._supports_sdpa else "eager"
        with own_attention(lm.model, kernel):
            parts = ids.split(lengths)
            theirs = torch.cat([trunk(lm.model)(input_ids=p[None], use_cache=False)[0][0] for p in parts])
        logps = [
            lm.head.logits(states[compared]).log_softmax(-1).gather(1, ids[compared + 1, None])[:, 0]
            for states in (ours, theirs)
        ]
        _refuse_difference(lm, logps[0], logps[1], f"a sample of {longest} tokens beside one of {shortest}")


def token_log_probabilities(hidden: Tensor, head: Head, ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """Log-probabilities of every token but each sample's first, from the states of a packed row."""
    logps = [
        _of_next(head.logits(states), part)
        for states, part in zip(hidden.split(list(lengths)), ids.split(list(lengths)), strict=True)
    ]
    return torch.cat(logps)


def logps_alone(model: PreTrainedModel, ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """The same as transformers has it: each sample by itself, through the model's own head."""
    parts = ids.split(list(lengths))
    return torch.cat([_of_next(model(input_ids=p[None], use_cache=False).logits[0], p) for p in parts])


@contextmanager
def own_attention(model: PreTrainedModel, kernel: str) -> Iterator[None]:
    """Inside the block the family's own layers, attention by a `kernel` of transformers; then what was before."""
    before = model.config._attn_implementation
    assert before is not None
    model.set_attn_implementation(kernel)
    try:
        with unfused(model):
            yield
    finally:
        model.set_attn_implementation(before)


def _of_next(logits: Tensor, ids: Tensor) -> Tensor:
    return logits[:-1].float().log_softmax(-1).gather(1, ids[1:, None])[:, 0]


def _refuse_leak(lm: "LanguageModel", ids: Tensor, packed: Tensor) -> None:
    """UserError where the states of the outer samples move when the one between them is of another token."""
    segments = Segments.of(_LENGTHS, lm.device)
    outer = segments.sample_ids != 1
    states = lm.hidden(torch.where(outer, ids, (ids + 1) % len(lm.tokenizer)), segments)
    moved = float((states - packed)[outer].abs().max() / packed[outer].abs().max())
    if not moved <= _LEAK:
        raise _refusal(
            lm,
            "samples packed in one row must not see each other",
            f"states that differ by {moved:.2g} of the largest beside other samples, as where layers carry a state "
            "from token to token (Mamba, linear attention, convolutions)",
        )


def _refuse_difference(lm: "LanguageModel", ours: Tensor, theirs: Tensor, what: str) -> None:
    difference = float((ours - theirs).abs().max()) if len(ours) else 0.0
    if not difference <= _TOLERANCE:
        raise _refusal(
            lm,
            "packed samples have the log-probabilities that the model's own attention and head give to each alone",
            f"{what}: log-probabilities that differ by {difference:.2g} nats",
        )


@contextmanager
def _refusing(lm: "LanguageModel") -> Iterator[None]:
    """What a family cannot do, as a UserError."""
    try:
        yield
    except UserError:
        raise
    except _FAULTS as error:
        found = f"{type(error).__name__}: {error}"
        where = traceback.extract_tb(error.__traceback__)[-1].line or ""
        if isinstance(error, AttributeError | TypeError) and "'NoneType'" in found and "mask" in where:
            found = "its layers read a mask of what each token may see, and a packed row has none"
        raise unsupported(lm.model.config.model_type, found) from error
    finally:
        lm.model.set_attn_implementation(attention.register())


def _refusal(lm: "LanguageModel", rule: str, found: str) -> UserError:
    return UserError(
        rule,
        got=f"model_type `{lm.model.config.model_type}`: {found}",
        remedy=f"use a model of a family that works: {', '.join(WORK)}",
    )


def _random_ids(lm: "LanguageModel", count: int) -> Tensor:
    ids = torch.randint(len(lm.tokenizer), (count,), generator=torch.Generator().manual_seed(0))
    return ids.to(lm.device)
