"""The rule-based track: a verdict becomes a reward, and length has a price (V3 report section 5.2.1).

The report prints no length term. Ours takes a share off right answers in proportion to the budget that they used, so
that a wrong answer never gains by being short and every right one stays above every wrong one.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from afterbase.core.sample import Problem, Status, Verdict
from afterbase.verify.answer_context import AnswerContext
from afterbase.verify.check import check_many


def brevity(value: float, *, tokens: int, budget: int, weight: float) -> float:
    """value * (1 - weight * tokens / budget): with weight below 1, right stays above wrong at any length.

    A value below 0, which a user's own function may give, stays as it is: length must not make it better.
    """
    return value * (1 - weight * min(1.0, tokens / budget)) if value > 0 else value


def overlong_penalty(tokens: int, *, budget: int, buffer: float) -> float:
    """0 up to `budget - buffer` tokens, then falling to -1 at the budget (DAPO, arXiv 2503.14476, equation 13)."""
    return min(0.0, (budget - buffer - tokens) / buffer)


class Cosine(NamedTuple):
    """Values at length 0 and at the budget, for right and wrong answers, and beyond (arXiv 2502.03373, section 4.1)."""

    short: float = 2.0
    long: float = 1.0
    wrong_short: float = -10.0
    wrong_long: float = 0.0
    over: float = -10.0


def cosine_length(tokens: int, *, budget: int, right: bool, curve: Cosine) -> float:
    """A half cosine from the value at length 0 to that at the budget, and `over` from the budget on.

    By default right answers had better be short, and wrong ones had better think on.
    """
    if tokens >= budget:
        return curve.over
    first, last = (curve.short, curve.long) if right else (curve.wrong_short, curve.wrong_long)
    return last + (first - last) * (1 + math.cos(math.pi * tokens / budget)) / 2


def rule_rewards(
    answers: Sequence[tuple[Problem, str]], contexts: Sequence[AnswerContext], *, budget: int, length_weight: float
) -> list[tuple[float | None, Verdict]]:
    """Reward and verdict of each answer; the reward is None where the verifier itself failed."""
    verdicts = check_many(answers, contexts)
    return [
        (
            None
            if v.status is Status.FAILED
            else brevity(v.value, tokens=context.length, budget=budget, weight=length_weight),
            v,
        )
        for v, context in zip(verdicts, contexts, strict=True)
    ]
