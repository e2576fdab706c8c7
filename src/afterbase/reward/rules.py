"""The rule-based track: a verdict becomes a reward, and length has a price (V3 report section 5.2.1).

The report prints no length term. Ours takes a share off right answers in proportion to the budget that they used, so
that a wrong answer never gains by being short and every right one stays above every wrong one.
"""

from collections.abc import Sequence

from afterbase.core.sample import Problem, Status, Verdict
from afterbase.verify.check import check_many


def brevity(value: float, *, tokens: int, budget: int, weight: float) -> float:
    """value * (1 - weight * tokens / budget): with weight below 1, right stays above wrong at any length."""
    return value * (1 - weight * min(1.0, tokens / budget))


def overlong_penalty(tokens: int, *, budget: int, buffer: float) -> float:
    """0 up to `budget - buffer` tokens, then falling to -1 at the budget (DAPO, arXiv 2503.14476, equation 13)."""
    return min(0.0, (budget - buffer - tokens) / buffer)


def rule_rewards(
    answers: Sequence[tuple[Problem, str]], *, tokens: Sequence[int], budget: int, length_weight: float
) -> list[tuple[float | None, Verdict]]:
    """Reward and verdict of each answer; the reward is None where the verifier itself failed."""
    verdicts = check_many(answers)
    return [
        (None if v.status is Status.FAILED else brevity(v.value, tokens=n, budget=budget, weight=length_weight), v)
        for v, n in zip(verdicts, tokens, strict=True)
    ]
