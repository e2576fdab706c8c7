"""The dual track (V3 report section 5.2.1): rules where an answer can be checked, a model where it cannot.

Every problem has exactly one owner, told by its verifier. Scores of the reward model pass through a sigmoid, so both
tracks give rewards in [0, 1]; advantages are normalised within a prompt's own group, so the tracks never mix.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict, conversation
from afterbase.reward.rules import brevity, rule_rewards
from afterbase.reward.scalar import RewardModel
from afterbase.verify.check import check
from afterbase.verify.rubric import has_rubric

RULES = frozenset({"ifeval", "maths", "program", "python", "reasoning_gym"})
MODEL = frozenset({"rubric"})


@dataclass(frozen=True)
class Reward:
    """One answer's reward, None where the verifier failed; the verdict is None on the model's track.

    There `held_out` is what a rule says of the answer: it is not trained on, but watched (`train/watch.py`).
    """

    value: float | None
    verdict: Verdict | None
    held_out: float | None = None


def owner(problem: Problem) -> str:
    """`rules` or `model`; a problem that neither owns is refused."""
    if problem.verifier in RULES:
        return "rules"
    if problem.verifier in MODEL:
        return "model"
    raise UserError(
        "every prompt needs exactly one judge: a rule or the reward model",
        got=f"a {problem.domain} problem with verifier `{problem.verifier}`",
        remedy=f"use one of {sorted(RULES)} for rules or {sorted(MODEL)} for the reward model",
    )


def refuse_unowned(problems: Iterable[Problem], *, model: bool) -> None:
    """UserError where a problem has no owner, or the reward model is one's owner and there is none (`model`)."""
    orphans = [problem for problem in problems if owner(problem) == "model"]
    if orphans and not model:
        raise UserError(
            "prompts without a rule need a reward model",
            got=f"{len(orphans)} prompts in {sorted({p.domain for p in orphans})} and no reward model",
            remedy="train a reward model before this stage, or leave those domains out",
        )


def rewards(
    answers: Sequence[tuple[Problem, str]],
    *,
    tokens: Sequence[int],
    budget: int,
    length_weight: float,
    model: RewardModel | None,
) -> list[Reward]:
    """The reward of each (problem, response), in order."""
    refuse_unowned((problem for problem, _ in answers), model=model is not None)
    out: list[Reward | None] = [None] * len(answers)
    ruled = [i for i, (problem, _) in enumerate(answers) if owner(problem) == "rules"]
    judged = [i for i, (problem, _) in enumerate(answers) if owner(problem) == "model"]
    by_rule = rule_rewards(
        [answers[i] for i in ruled], tokens=[tokens[i] for i in ruled], budget=budget, length_weight=length_weight
    )
    for i, (value, verdict) in zip(ruled, by_rule, strict=True):
        out[i] = Reward(value, verdict)
    if judged:
        assert model is not None
        scores = model.score([conversation(answers[i][0].prompt, answers[i][1]) for i in judged])
        for i, score in zip(judged, scores, strict=True):
            value = brevity(_sigmoid(score), tokens=tokens[i], budget=budget, weight=length_weight)
            problem, response = answers[i]
            out[i] = Reward(value, None, check(problem, response).value if has_rubric(problem.spec) else None)
    return [reward for reward in out if reward is not None]


def _sigmoid(score: float) -> float:
    return 0.5 * (1 + math.tanh(score / 2))  # unlike 1 / (1 + exp(-score)), it never overflows


def failed_share(verdicts: Sequence[Reward]) -> float:
    """Share of answers whose verifier failed: masked out of the loss, and watched."""
    failed = [r for r in verdicts if r.verdict is not None and r.verdict.status is Status.FAILED]
    return len(failed) / max(1, len(verdicts))
