"""The reward of GRPO's answers: rules and reward model, composed as the settings say, and refused where it is none."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status
from afterbase.data.domains import style_of
from afterbase.reward.compose import compose, load_judges
from afterbase.reward.route import AnswerModel, Reward, failed_share, rewards
from afterbase.reward.rules import overlong_penalty
from afterbase.train.grpo.config import Grpo
from afterbase.verify.answer_context import AnswerContext

_MOST_FAILED = 0.2  # above this share of verifier faults the numbers mean nothing

RewardFunction = Callable[[Sequence[tuple[Problem, str]], Sequence[AnswerContext]], list[Reward]]
"""(problem, text) pairs and how they came about, lengths in tokens among it, to rewards."""


def reward_function(config: Grpo, model: AnswerModel | None, *, seed: int = 0) -> RewardFunction:
    """Verdict or the model's score, then the recipe's rules, then the price of an overlong answer.

    Raises UserError where a function, a model or a judge of the rules is not ready. What it returns raises UserError
    where too many verifiers failed, and for a reward that is not finite. `seed` is that of a judge among the rules.
    """
    budget, buffer = config.max_new_tokens, config.objective.overlong_buffer * config.max_new_tokens
    composed = config.rewards
    judges = load_judges(composed, seed=seed) if composed is not None else None

    def reward(answers: Sequence[tuple[Problem, str]], contexts: Sequence[AnswerContext]) -> list[Reward]:
        out = rewards(
            answers,
            contexts,
            budget=budget,
            length_weight=config.length_weight,
            model=model,
            rules=composed is not None and composed.beside_verdict,
        )
        if composed is not None and judges is not None:
            out = compose(out, answers, contexts, budget=budget, config=composed, style=style_of, judges=judges)
        if buffer > 0:
            costs = [overlong_penalty(context.length, budget=budget, buffer=buffer) for context in contexts]
            out = [
                replace(r, value=None if r.value is None else r.value + cost)
                for r, cost in zip(out, costs, strict=True)
            ]
        _refuse_failed(out)
        _refuse_not_finite(out, answers)
        return out

    return reward


def _refuse_failed(given: Sequence[Reward]) -> None:
    if failed_share(given) > _MOST_FAILED:
        failed = [r.verdict for r in given if r.verdict is not None and r.verdict.status is Status.FAILED]
        counts = Counter((verdict.verifier, verdict.reason) for verdict in failed)
        reasons = ", ".join(f"{reason} {count} times in {name}" for (name, reason), count in counts.most_common(3))
        details = next((f"; the first: {verdict.detail}" for verdict in failed if verdict.detail), "")
        raise UserError(
            f"at most {_MOST_FAILED:.0%} of a step's answers may fail to be verified",
            got=f"{failed_share(given):.0%}: {reasons}{details}",
            remedy="mend the verifier, whose reasons these are; the run resumes where it stopped",
        )


def _refuse_not_finite(given: Sequence[Reward], answers: Sequence[tuple[Problem, str]]) -> None:
    for reward, (problem, _) in zip(given, answers, strict=True):
        if reward.value is not None and not math.isfinite(reward.value):
            raise UserError(
                "a reward is a finite number",
                got=f"{reward.value} for an answer to `{problem.prompt[:60]}`",
                remedy="look at the reward model, or mend the reward; the run resumes where it stopped",
            )
