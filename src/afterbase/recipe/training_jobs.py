"""One training on rows of one's own: supervised fine-tuning. Each is what one command of the same name runs."""

from typing import Literal

from afterbase.data.own.own_rows import OwnRows
from afterbase.recipe.run_settings import ModelRunSettings
from afterbase.train.config import Sft


class Job(ModelRunSettings):
    """What the recipes of one training have in common."""

    kind: str


class JobRows(OwnRows):
    """The rows to train on, and rows to measure on."""

    eval: OwnRows | None = None
    """Rows that are never trained on: the loss on them is measured while training runs."""

    @property
    def training(self) -> OwnRows:
        """The rows to train on alone."""
        return OwnRows(**{name: getattr(self, name) for name in OwnRows.model_fields})


class SftRecipe(Job):
    """Supervised fine-tuning on rows of one's own."""

    kind: Literal["sft"]
    """What the recipe makes."""
    data: JobRows
    """The rows to train on."""
    sft: Sft
    """How the model is fine-tuned."""
