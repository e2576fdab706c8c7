"""The settings of a composed reward: its rules, each with a weight and a gate; `compose.py` adds them up.

Where a function or a model lies is no part of an artifact's key; what it is, is: `digest` is filled in.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from afterbase.core.config import Config, How
from afterbase.core.errors import UserError
from afterbase.core.sample import content_id
from afterbase.core.store import folder_digest
from afterbase.reward.config import JudgeConfig, refuse_no_reward_model
from afterbase.reward.rules import Cosine
from afterbase.verify.language.identify import languages
from afterbase.verify.own.own_function import find

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
    """The value of a right answer of no tokens."""
    long: float = Cosine().long
    """Of a right answer that fills the budget."""
    wrong_short: float = Cosine().wrong_short
    """Of a wrong answer of no tokens."""
    wrong_long: float = Cosine().wrong_long
    """Of a wrong answer that fills the budget."""
    over: float = Cosine().over
    """Of an answer that reaches the budget."""

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


class OwnRule(Rule):
    """The value of a function of the user's own (`verify/own/`): any finite number, True as 1 and False as 0."""

    function: How[str]
    """FILE.py:FUNCTION or MODULE:FUNCTION."""
    digest: str = ""
    """Name and digest of the source, filled in."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("function"), str):
            return given
        found = find(given["function"])
        return {**_filled(given, "function", found.key), "function": found.reference}


class ModelRule(Rule):
    """The score of a reward model in a folder, through a sigmoid: in [0, 1]."""

    folder: How[str]
    """The reward model's folder."""
    digest: str = ""
    """Of the folder's files, filled in."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("folder"), str):
            return given
        refuse_no_reward_model(Path(given["folder"]))
        return _filled(given, "folder", folder_digest(Path(given["folder"])))


class JudgeRule(Rule):
    """The score of a judge at an endpoint, from 1 to 10, scaled to [0, 1]."""

    asked: JudgeConfig
    """Whom to ask, and how judgements are sampled and voted."""
    digest: str = ""
    """Of the principles' text, filled in."""

    @model_validator(mode="after")
    def _has_endpoint(self) -> "JudgeRule":
        if self.asked.endpoint is None:
            raise UserError(
                "a judge among the rules of a reward is asked at an endpoint",
                got="`judge.asked` without `endpoint`",
                remedy='add asked.endpoint = {url = "http://HOST/v1", model = "NAME"}',
            )
        self.asked.refuse_unready()
        if not self.digest:
            object.__setattr__(self, "digest", content_id(self.asked.read_principles()))
        return self


def _filled(given: dict[str, Any], name: str, digest: str) -> dict[str, Any]:
    if given.get("digest") not in (None, "", digest):
        raise UserError(
            f"`digest` is that of `{name}`", got=f"another than that of {given[name]}", remedy="leave `digest` out"
        )
    return {**given, "digest": digest}


class Rewards(Config):
    """Which rules make the reward; `correct` is the verdict or the reward model's score."""

    correct: Rule = Rule()
    """The verdict of the verifier, or the reward model's score."""
    format: FormatRule | None = None
    """Whether the answer has the form that its domain asks for."""
    length: LengthRule | None = None
    """A price of long answers."""
    language: LanguageRule | None = None
    """Whether the chain of thought is in the right language."""
    repetition: Rule | None = None
    """1 less the share of the response that repeats it (`verify/repetition.py`)."""
    own: dict[str, OwnRule] = Field(default_factory=dict)
    """Functions of the user's own, each under a name."""
    model: ModelRule | None = None
    """The score of a reward model in a folder."""
    judge: JudgeRule | None = None
    """The score of a judge at an endpoint."""
    floor: float = 0.0
    """The reward where a gate closed."""

    @field_validator("own")
    @classmethod
    def _names_of_their_own(cls, own: dict[str, OwnRule]) -> dict[str, OwnRule]:
        taken = [name for name in own if name in (*cls.model_fields, GATED)]
        if taken:
            raise UserError(
                "a rule of one's own has a name of its own",
                got=f"`own.{taken[0]}`, and `{taken[0]}` stands for something else",
                remedy="call it otherwise",
            )
        return own

    @property
    def rules(self) -> dict[str, Rule]:
        """Those that are in use, by name."""
        rules = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: rule for name, rule in rules.items() if isinstance(rule, Rule)} | self.own

    @property
    def beside_verdict(self) -> bool:
        """Whether there is a rule that decides something where a problem has none."""
        return len(self.rules) > 1
