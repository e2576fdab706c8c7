"""A reward of several named rules: a weighted sum, and gates that close it (V3 report section 5.2.1 names no weights).

    total = sum over rules of weight * value, or `floor` where the value of a rule with a gate is below it

An answer whose verifier failed has no reward, whatever the other rules say. Each rule's own value is kept in `parts`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from pydantic import model_validator

from afterbase.core.config import Config
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status
from afterbase.reward.route import Reward
from afterbase.reward.rules import Cosine, cosine_length
from afterbase.verify.format import Style, chain_of_thought, thinks, well_formed
from afterbase.verify.language.identify import languages
from afterbase.verify.language.text_language import consistency, language
from afterbase.verify.repetition import repetition_rate

GATED = "gated"
"""The part that tells whether a gate closed (1) or not (0)."""


class Rule(Config):
    """A rule's place in the sum."""

    weight: float = 1.0
    """Of its value; 0 for a gate alone."""
    gate: float | None = None
    """The whole reward is `floor` where the rule's value is below this."""


class FormatRule(Rule):
    """1 for a response of the form that its domain asks for, else 0."""

    answer: bool = True
    """Box, block of code or plain text, as the domain has it (`verify/format.py`)."""
    think: bool = False
    """`<think>`, `</think>` once each, in this order, and an answer after them."""
    opened: bool = False
    """The prompt ends in `<think>`, so that the response only closes it."""
    stop: bool = True
    """It ends before the budget does."""


class LengthRule(Rule):
    """A half cosine over the length, apart for right and wrong answers (`reward/rules.py`)."""

    short: float = Cosine().short
    long: float = Cosine().long
    wrong_short: float = Cosine().wrong_short
    wrong_long: float = Cosine().wrong_long
    over: float = Cosine().over

    @property
    def curve(self) -> Cosine:
        return Cosine(self.short, self.long, self.wrong_short, self.wrong_long, self.over)


class LanguageRule(Rule):
    """The share of the words of the chain of thought that are in the target language; 1 without words."""

    target: str = "prompt"
    """An ISO 639-1 code, or `prompt`: the language of each prompt, where it has one."""

    @model_validator(mode="after")
    def _known(self) -> "LanguageRule":
        codes = languages() | {"ja", "zh"}
        if self.target != "prompt" and self.target not in codes:
            raise UserError(
                "a language is an ISO 639-1 code that can be told from others",
                got=repr(self.target),
                remedy=f"use `prompt` or one of {', '.join(sorted(codes))}",
            )
        return self


class Rewards(Config):
    """Which rules make the reward; `correct` is the verdict or the reward model's score."""

    correct: Rule = Rule()
    format: FormatRule | None = None
    length: LengthRule | None = None
    language: LanguageRule | None = None
    repetition: Rule | None = None
    """1 less the share of the response that repeats it (`verify/repetition.py`)."""
    floor: float = 0.0
    """The reward where a gate closed."""

    @property
    def rules(self) -> dict[str, Rule]:
        """Those that are in use, by name."""
        rules = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: rule for name, rule in rules.items() if isinstance(rule, Rule)}


def compose(
    judged: Sequence[Reward],
    answers: Sequence[tuple[Problem, str]],
    *,
    tokens: Sequence[int],
    budget: int,
    config: Rewards,
    style: Callable[[Problem], Style | None],
) -> list[Reward]:
    """The rewards with all rules of the recipe; `style` is the form that a problem asks for, if any."""
    targets = {p.prompt: _target(config.language, p.prompt) for p, _ in answers} if config.language else {}
    out = []
    for reward, (problem, response), count in zip(judged, answers, tokens, strict=True):
        if reward.value is None:
            out.append(reward)
            continue
        parts = {"correct": reward.value}
        if config.format is not None:
            parts["format"] = float(
                (not config.format.think or thinks(response, opened=config.format.opened))
                and (not config.format.answer or _answered(response, style(problem)))
                and (not config.format.stop or count < budget)
            )
        if config.length is not None:
            parts["length"] = cosine_length(count, budget=budget, right=_right(reward), curve=config.length.curve)
        if config.language is not None:
            target = targets[problem.prompt]
            share = consistency(chain_of_thought(response), target) if target else None
            parts["language"] = 1.0 if share is None else share
        if config.repetition is not None:
            parts["repetition"] = 1.0 - repetition_rate(response)
        value, gated = total(parts, config)
        out.append(replace(reward, value=value, parts={**parts, GATED: float(gated)}))
    return out


def total(parts: dict[str, float], config: Rewards) -> tuple[float, bool]:
    """The reward that values by name add up to, and whether a gate closed."""
    rules = config.rules
    if any(rule.gate is not None and parts[name] < rule.gate for name, rule in rules.items()):
        return config.floor, True
    return sum(rule.weight * parts[name] for name, rule in rules.items()), False


def _right(reward: Reward) -> bool:
    """On the model's track, where no rule decides: a score above one half."""
    if reward.verdict is not None:
        return reward.verdict.status is Status.OK
    return reward.value is not None and reward.value > 0.5


def _answered(response: str, style: Style | None) -> bool:
    return style is None or well_formed(response, style=style)


def _target(rule: LanguageRule, prompt: str) -> str | None:
    if rule.target != "prompt":
        return rule.target
    found = language(prompt)
    return None if found in ("mixed", "none") else found
