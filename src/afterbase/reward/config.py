"""The settings of a judge, and what a reward model's folder has."""

import json
from pathlib import Path

from pydantic import Field

from afterbase.core.config import Config, How
from afterbase.core.errors import UserError
from afterbase.reward.judge import PRINCIPLES, read_principles
from afterbase.rollout.endpoint.budget import Limits
from afterbase.rollout.endpoint.config import EndpointConfig
from afterbase.rollout.endpoint.endpoint_client import Endpoint

HEAD = "reward_head.safetensors"
"""The file of a reward model's folder that a language model's has not."""


class JudgeConfig(Config):
    """How judgements are sampled and voted."""

    votes: int = Field(default=4, ge=1)
    """k: judgements of each answer."""
    temperature: float = Field(default=1.0, gt=0)
    """Of sampling a judgement."""
    max_new_tokens: int = Field(default=160, ge=8)
    """Of a judgement with its chain of thought."""
    principles: How[str | None] = None
    """A text file with one principle a line in place of the shipped ones; what it says is in the artifact's key."""
    endpoint: EndpointConfig | None = None
    """Whom to ask, in place of a model of the recipe's own."""
    budget: How[Limits] = Limits()
    """What may be spent there."""

    def refuse_unready(self) -> None:
        """UserError where the principles cannot be read, or the endpoint's address or token is none."""
        self.read_principles()
        if self.endpoint is not None:
            Endpoint(self.endpoint)

    def read_principles(self) -> str:
        return read_principles(Path(self.principles) if self.principles is not None else PRINCIPLES)


def is_sequence_classifier(folder: Path) -> bool:
    """Whether a folder's config says that transformers' model of it gives scores and no text."""
    path = folder / "config.json"
    names = (json.loads(path.read_text()).get("architectures") or []) if path.is_file() else []
    return any(name.endswith("ForSequenceClassification") for name in names)


def refuse_no_reward_model(folder: Path) -> None:
    """UserError for a folder that is neither what `save_reward_model` writes nor another sequence classifier."""
    if not (folder / HEAD).is_file() and not is_sequence_classifier(folder):
        raise UserError(
            "a reward model is a model folder with a head of scores",
            got=f"{folder}, which is no sequence classifier and has no {HEAD}",
            remedy="use the folder of a reward model that afterbase trained, or of a sequence classifier of one label",
        )
