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
from afterbase.verify.answer_context import AnswerContext
from afterbase.verify.check import NONE, check
from afterbase.verify.own.own_function import OWN
from afterbase.verify.rubric import has_rubric

RULES = frozenset({"choice", "exact", "ifeval", "maths", OWN, "program", "python", "reasoning_gym"})
MODEL = frozenset({"rubric"})
COMPOSED = frozenset({NONE})
"""Of problems that have no rule: the reward model judges them, if there is one, or else the reward's further rules."""


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
    undecided: bool = False
    """Neither a rule nor a model owns the problem: the value is 0 until the reward's further rules have theirs."""


def owner(problem: Problem) -> str:
    """`rules`, `model` or `composed`; a problem that nobody owns is refused."""
    for name, verifiers in (("rules", RULES), ("model", MODEL), ("composed", COMPOSED)):
        if problem.verifier in verifiers:
            return name
    raise UserError(
        "every prompt needs exactly one judge: a rule or the reward model",
        got=f"a {problem.domain} problem with verifier `{problem.verifier}`",
        remedy=f"use one of {', '.join(sorted(RULES))} for rules, {', '.join(sorted(MODEL))} for the reward model, "
        f"or `{NONE}` for further rules of the reward",
    )


def refuse_unowned(problems: Iterable[Problem], *, model: bool, rules: bool = False) -> None:
    """UserError where a problem has no owner, or its owner is not there.

    `model`: there is a reward model. `rules`: the reward has rules beside the verdict (`reward/compose.py`).
    """
    owners = {"rules"} | ({"model", "composed"} if model else set()) | ({"composed"} if rules else set())
    orphans = [problem for problem in problems if owner(problem) not in owners]
    if orphans:
        raise UserError(
            "prompts without a rule need a reward model, or rules of the reward",
            got=f"{len(orphans)} prompts in {sorted({p.domain for p in orphans})} with neither",
            remedy="name a verifier or a reward of your own, train a reward model before this stage, or leave those "
            "domains out",
        )


def rewards(
    answers: Sequence[tuple[Problem, str]],
    contexts: Sequence[AnswerContext],
    *,
    budget: int,
    length_weight: float,
    model: AnswerModel | None,
    rules: bool = False,
) -> list[Reward]:
    """The reward of each (problem, response), in order. A model sees the answer without its thought, as people would.

    A response whose thought never ends has no answer: it is wrong, and no model is asked. Where the further `rules` of
    the reward are the owner, the value is 0 so far.
    """
    refuse_unowned((problem for problem, _ in answers), model=model is not None, rules=rules)
    owners = [owner(problem) for problem, _ in answers]
    out = [Reward(0.0, None, undecided=True)] * len(answers)
    ruled = [i for i, who in enumerate(owners) if who == "rules"]
    by_rule = rule_rewards(
        [answers[i] for i in ruled], [contexts[i] for i in ruled], budget=budget, length_weight=length_weight
    )
    for i, (value, verdict) in zip(ruled, by_rule, strict=True):
        out[i] = Reward(value, verdict)
    if model is not None:
        judged = [i for i, who in enumerate(owners) if who != "rules"]
        for i, (value, verdict) in zip(judged, model_rewards(model, [answers[i] for i in judged]), strict=True):
            if value is not None:
                value = brevity(value, tokens=contexts[i].length, budget=budget, weight=length_weight)
            problem, response = answers[i]
            watched = has_rubric(problem.spec) and (verdict is None or verdict.reason != UNFINISHED)
            out[i] = Reward(value, verdict, check(problem, response).value if watched else None)
    return out


def model_rewards(
    model: AnswerModel, answers: Sequence[tuple[Problem, str]]
) -> list[tuple[float | None, Verdict | None]]:
    """What a model says of each response's answer; 0, with a verdict `wrong`, of one whose thought never ends."""
    texts = [answer_of(response) for _, response in answers]
    asked = [(problem, text) for (problem, _), text in zip(answers, texts, strict=True) if text is not None]
    said = iter(model.judge(asked) if asked else [])
    return [
        (0.0, Verdict(verifier=problem.verifier, status=Status.WRONG, value=0.0, reason=UNFINISHED))
        if text is None
        else next(said)
        for (problem, _), text in zip(answers, texts, strict=True)
    ]


def failed_share(verdicts: Sequence[Reward]) -> float:
    """Share of answers whose verifier failed: masked out of the loss, and watched."""
    failed = [r for r in verdicts if r.verdict is not None and r.verdict.status is Status.FAILED]
    return len(failed) / max(1, len(verdicts))
