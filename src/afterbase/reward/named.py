"""The reward of a command line: `--reward X`, once or several times, as a verifier and rules.

    maths, exact, choice, ifeval ...   a verifier, which needs the columns that it needs
    my_rewards.py:score                a function of one's own; also MODULE:FUNCTION
    format, language, length, repetition
    reward:FOLDER                      a reward model
    judge:http://HOST/v1#MODEL         a judge at an endpoint

each with `=WEIGHT` behind it, where the weight is not 1.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from afterbase.core.config import config_of
from afterbase.core.errors import UserError
from afterbase.reward.route import RULES
from afterbase.reward.rule_settings import (
    GATED,
    FormatRule,
    JudgeRule,
    LanguageRule,
    LengthRule,
    ModelRule,
    OwnRule,
    Rewards,
    Rule,
)
from afterbase.verify.check import NONE
from afterbase.verify.own.own_function import OWN, OwnFunction, find, is_own
from afterbase.verify.own.own_verdicts import refuse_unready

_RULES: dict[str, type[Rule]] = {
    "format": FormatRule,
    "language": LanguageRule,
    "length": LengthRule,
    "repetition": Rule,
}
_VERIFIERS = sorted(RULES - {OWN})


class NamedReward(NamedTuple):
    """One reward of a command line: a verifier's name, an own function, or a rule of `Rewards` by its name."""

    weight: float
    verifier: str | None = None
    own: OwnFunction | None = None
    rule: tuple[str, Rule] | None = None


def rewards_named(names: Sequence[str | Callable[..., Any]]) -> tuple[str, Rewards | None]:
    """The verifier of the problems, and the rules beside its verdict, None where the verdict alone is the reward.

    The verifier is the built-in one that is named, or else the first own function, or else `none`. All other names
    become rules. Raises UserError for what is no reward, for two built-in verifiers, and for a name that comes twice;
    functions are loaded, so that one that cannot be is refused here.

    >>> verifier, rules = rewards_named(["maths", "format=0.1"])
    >>> verifier, rules.format.weight
    ('maths', 0.1)
    """
    parsed = [parse_reward(name) for name in names]
    built_in = [reward for reward in parsed if reward.verifier is not None]
    if len(built_in) > 1:
        raise UserError(
            "problems have one built-in verifier",
            got=f"{' and '.join(str(reward.verifier) for reward in built_in)}",
            remedy="keep one; further rewards are functions of your own, or rules such as `format`",
        )
    first = next(iter([*built_in, *(reward for reward in parsed if reward.own is not None)]), None)
    tables: dict[str, Rule] = {}
    own: dict[str, OwnRule] = {}
    for reward in parsed:
        if reward is first:
            continue
        if reward.own is not None:
            own[_name(reward.own, own)] = OwnRule(function=reward.own.reference, weight=reward.weight)
        elif reward.rule is not None:
            name, rule = reward.rule
            if name in tables:
                raise UserError("a rule is named once", got=f"`{name}` twice", remedy="keep one, with its weight")
            tables[name] = rule
    verifier = NONE if first is None else first.verifier or (first.own.reference if first.own is not None else NONE)
    weight = 1.0 if first is None else first.weight
    if not tables and not own and weight == 1.0:
        return verifier, None
    return verifier, Rewards.model_validate({**tables, "own": own, "correct": Rule(weight=weight)})


def parse_reward(name: str | Callable[..., Any]) -> NamedReward:
    """What one name stands for. UserError where it is no reward."""
    if not isinstance(name, str):
        function = find(name)
        refuse_unready(function)
        return NamedReward(1.0, own=function)
    what_for, weight = _weighted(name)
    kind, _, rest = what_for.partition(":")
    if what_for in _RULES:
        return NamedReward(weight, rule=(what_for, _RULES[what_for](weight=weight)))
    if what_for in _VERIFIERS:
        return NamedReward(weight, verifier=what_for)
    if kind == "reward" and rest:
        return NamedReward(weight, rule=("model", _model(rest, weight)))
    if kind == "judge" and rest:
        return NamedReward(weight, rule=("judge", _judge(rest, weight)))
    if is_own(what_for):
        function = find(what_for)
        refuse_unready(function)
        return NamedReward(weight, own=function)
    raise UserError(
        "a reward is a verifier, a rule, or a function of one's own",
        got=f"`{name}`",
        remedy=f"use one of {', '.join([*_VERIFIERS, *_RULES])}, FILE.py:FUNCTION, MODULE:FUNCTION, reward:FOLDER, or "
        "judge:URL#MODEL, with =WEIGHT behind it if it is not 1",
    )


def _weighted(name: str) -> tuple[str, float]:
    what_for, sign, weight = name.rpartition("=")
    try:
        return (what_for, float(weight)) if sign else (name, 1.0)
    except ValueError:
        return name, 1.0


def _model(folder: str, weight: float) -> ModelRule:
    return config_of({"folder": str(Path(folder).resolve()), "weight": weight}, ModelRule, f"reward:{folder}")


def _judge(address: str, weight: float) -> JudgeRule:
    url, _, model = address.partition("#")
    if not model:
        raise UserError(
            "a judge is a model at an endpoint",
            got=f"`judge:{address}`, without the model's name",
            remedy=f"write judge:{url}#MODEL",
        )
    asked = {"endpoint": {"url": url, "model": model}}
    return config_of({"asked": asked, "weight": weight}, JudgeRule, f"judge:{address}")


def _name(function: OwnFunction, taken: dict[str, OwnRule]) -> str:
    """The function's name, or with a number behind it where that stands for something else."""
    name, reserved = function.name, {*Rewards.model_fields, GATED, *taken}
    return next(f"{name}{n or ''}" for n in (0, *range(2, 100)) if f"{name}{n or ''}" not in reserved)
