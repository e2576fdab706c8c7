"""The dual track (V3 report section 5.2.1): rules where an answer can be checked, a model where it cannot.

Every problem has exactly one owner, which its verifier names. A reward model gives values in [0, 1] as rules do (a
scalar one's scores pass through a sigmoid, a judge's are scaled); advantages are normalised within a prompt's own
group, so the tracks never mix.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from afterbase.core.errors import UserError
from afterbase.core.reasoning import UNFINISHED, answer_of
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.reward.rules import brevity, rule_rewards
from afterbase.verify.check import check
from afterbase.verify.rubric import has_rubric

RULES = frozenset({"choice", "exact", "ifeval", "maths", "program", "python", "reasoning_gym"})
MODEL = frozenset({"rubric"})


class AnswerModel(Protocol):
    """A reward model of any kind."""

    def judge(self, answers: Sequence[tuple[Problem, str]]) -> list[tuple[float | None, Verdict | None]]:
        """The reward of each (problem, response), in [0, 1]; None, with a verdict `failed`, where the model failed."""
        ...


@dataclass(frozen=True)
class Reward:
    """One answer's reward, None where the verifier failed; on the model's track there is a verdict only then, or where
    a response has no answer.

    There `held_out` is what a rule says of the answer: it is not trained on, but watched
    (`train/grpo/reward_hacking.py`).
    """

    value: float | None
    verdict: Verdict | None
    held_out: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    """What each rule of a composed reward gave, by its name (`reward/compose.py`)."""


def owner(problem: Problem) -> str:
    """`rules` or `model`; a problem that neither owns is refused."""
    if problem.verifier in RULES:
        return "rules"
    if problem.verifier in MODEL:
        return "model"
    raise UserError(
        "every prompt needs exactly one judge: a rule or the reward model",
        got=f"a {problem.domain} problem with verifier `{problem.verifier}`",
        remedy=f"use one of {', '.join(sorted(RULES))} for rules, or {', '.join(sorted(MODEL))} for the reward model",
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
    model: AnswerModel | None,
) -> list[Reward]:
    """The reward of each (problem, response), in order. A model sees the answer without its thought, as people would.

    A response whose thought never ends has no answer: it is wrong, and no model is asked.
    """
    refuse_unowned((problem for problem, _ in answers), model=model is not None)
    out: list[Reward | None] = [None] * len(answers)
    ruled = [i for i, (problem, _) in enumerate(answers) if owner(problem) == "rules"]
    judged = [i for i, (problem, _) in enumerate(answers) if owner(problem) == "model"]
    by_rule = rule_rewards(
        [answers[i] for i in ruled], tokens=[tokens[i] for i in ruled], budget=budget, length_weight=length_weight
    )
    for i, (value, verdict) in zip(ruled, by_rule, strict=True):
        out[i] = Reward(value, verdict)
    texts = {i: answer_of(answers[i][1]) for i in judged}
    for i in [i for i in judged if texts[i] is None]:
        out[i] = Reward(
            0.0, Verdict(verifier=answers[i][0].verifier, status=Status.WRONG, value=0.0, reason=UNFINISHED)
        )
    answered = [(i, text) for i, text in texts.items() if text is not None]
    if answered:
        assert model is not None
        by_model = model.judge([(answers[i][0], text) for i, text in answered])
        for (i, _), (value, verdict) in zip(answered, by_model, strict=True):
            if value is not None:
                value = brevity(value, tokens=tokens[i], budget=budget, weight=length_weight)
            problem, response = answers[i]
            held_out = check(problem, response).value if has_rubric(problem.spec) else None
            out[i] = Reward(value, verdict, held_out)
    return [reward for reward in out if reward is not None]


def failed_share(verdicts: Sequence[Reward]) -> float:
    """Share of answers whose verifier failed: masked out of the loss, and watched."""
    failed = [r for r in verdicts if r.verdict is not None and r.verdict.status is Status.FAILED]
    return len(failed) / max(1, len(verdicts))
