"""A reward of several named rules: a weighted sum, and gates that close it (V3 report section 5.2.1 names no weights).

    total = sum over rules of weight * value, or `floor` where the value of a rule with a gate is below it

An answer whose verifier failed has no reward, whatever the other rules say, and neither has one that a function of the
user's own, a reward model or a judge failed on. Each rule's own value is kept in `parts`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from afterbase.core.sample import Problem, Status, Verdict
from afterbase.reward.build_judge import judge_at_endpoint
from afterbase.reward.route import AnswerModel, Reward, model_rewards
from afterbase.reward.rule_settings import GATED, LanguageRule, Rewards
from afterbase.reward.rules import cosine_length
from afterbase.reward.scalar import load_reward_model
from afterbase.verify.answer_context import AnswerContext
from afterbase.verify.format import Style, chain_of_thought, thinks, well_formed
from afterbase.verify.language.text_language import consistency, language
from afterbase.verify.own.own_function import OwnFunction, find
from afterbase.verify.own.own_verdicts import OwnAnswer, judge_own, refuse_unready
from afterbase.verify.repetition import repetition_rate

_HALF = 0.5

Said = dict[str, tuple[float | None, Verdict | None]]
"""What functions and models say of one answer, by the rule's name; None, with a verdict `failed`, where one failed."""


@dataclass(frozen=True)
class Judges:
    """What rules ask, by the rule's name: functions of the user's own, and models."""

    functions: Mapping[str, OwnFunction]
    models: Mapping[str, AnswerModel]


def load_judges(config: Rewards, *, seed: int) -> Judges:
    """The functions, the reward model and the judge of the rules; UserError where one is not ready."""
    functions = {name: find(rule.function) for name, rule in config.own.items()}
    for function in functions.values():
        refuse_unready(function)
    models: dict[str, AnswerModel] = {}
    if config.model is not None:
        models["model"] = load_reward_model(Path(config.model.folder))
    if config.judge is not None:
        models["judge"] = judge_at_endpoint(config.judge.asked, seed=seed)
    return Judges(functions, models)


def compose(
    judged: Sequence[Reward],
    answers: Sequence[tuple[Problem, str]],
    contexts: Sequence[AnswerContext],
    *,
    budget: int,
    config: Rewards,
    style: Callable[[Problem], Style | None],
    judges: Judges,
) -> list[Reward]:
    """The rewards with all rules of the recipe; `style` is the form that a problem asks for, if any."""
    targets = {p.prompt: _target(config.language, p.prompt) for p, _ in answers} if config.language else {}
    known = [i for i, reward in enumerate(judged) if reward.value is not None]
    said = _said(judges, [answers[i] for i in known], [contexts[i] for i in known])
    out = list(judged)
    for i, of_answer in zip(known, said, strict=True):
        failed = next((verdict for value, verdict in of_answer.values() if value is None), None)
        if failed is not None:
            out[i] = replace(judged[i], value=None, verdict=failed)
            continue
        values = {name: value for name, (value, _) in of_answer.items() if value is not None}
        problem, response = answers[i]
        parts = {} if judged[i].undecided else {"correct": judged[i].value or 0.0}
        right = _right(judged[i], values)
        parts |= _parts_of_text(
            response, contexts[i].length, budget, config, right, style(problem), targets.get(problem.prompt)
        )
        parts |= values
        value, gated = total(parts, config)
        out[i] = replace(judged[i], value=value, parts={**parts, GATED: float(gated)})
    return out


def total(parts: dict[str, float], config: Rewards) -> tuple[float, bool]:
    """The reward that values by name add up to, and whether a gate closed; a rule without a value has no say."""
    rules = {name: rule for name, rule in config.rules.items() if name in parts}
    if any(rule.gate is not None and parts[name] < rule.gate for name, rule in rules.items()):
        return config.floor, True
    return sum(rule.weight * parts[name] for name, rule in rules.items()), False


def _said(judges: Judges, answers: Sequence[tuple[Problem, str]], contexts: Sequence[AnswerContext]) -> list[Said]:
    """What each function and each model says of every answer."""
    out: list[Said] = [{} for _ in answers]
    for name, function in judges.functions.items():
        asked = [OwnAnswer(*answer, context) for answer, context in zip(answers, contexts, strict=True)]
        for said, verdict in zip(out, judge_own(function, asked), strict=True):
            said[name] = (None if verdict.status is Status.FAILED else verdict.value, verdict)
    for name, model in judges.models.items():
        for said, judged in zip(out, model_rewards(model, answers), strict=True):
            said[name] = judged
    return out


def _parts_of_text(
    response: str,
    length: int,
    budget: int,
    config: Rewards,
    right: bool,
    style: Style | None,
    target: str | None,
) -> dict[str, float]:
    """The values of the rules that read the text alone, those that are in use."""
    parts = {}
    if config.format is not None:
        parts["format"] = float(
            (not config.format.think or thinks(response, opened=config.format.opened))
            and (not config.format.answer or style is None or well_formed(response, style=style))
            and (not config.format.stop or length < budget)
        )
    if config.length is not None:
        parts["length"] = cosine_length(length, budget=budget, right=right, curve=config.length.curve)
    if config.language is not None:
        share = consistency(chain_of_thought(response), target) if target else None
        parts["language"] = 1.0 if share is None else share
    if config.repetition is not None:
        parts["repetition"] = 1.0 - repetition_rate(response)
    return parts


def _right(reward: Reward, values: Mapping[str, float]) -> bool:
    """By the verdict; on the model's track, where no rule decides: a score above one half.

    Where nobody has decided, a value above one half of any function or model of the rules.
    """
    if reward.verdict is not None:
        return reward.verdict.status is Status.OK
    if reward.undecided:
        return any(value > _HALF for value in values.values())
    return reward.value is not None and reward.value > _HALF


def _target(rule: LanguageRule, prompt: str) -> str | None:
    if rule.target != "prompt":
        return rule.target
    found = language(prompt)
    return None if found in ("mixed", "none") else found
