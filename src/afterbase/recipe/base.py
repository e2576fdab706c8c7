"""The pre-training of a base model."""

from typing import Literal

from pydantic import Field, model_validator

from afterbase.core.config import Config
from afterbase.data.corpus import Corpus, WorkedCorpus
from afterbase.recipe.problem_domains import refuse_unknown_domains
from afterbase.recipe.run_settings import RunSettings
from afterbase.train.config import Architecture, Pretraining, TokenizerSettings


class BaseControl(Config):
    """A shorter pair of runs, with and without balancing, to compare expert loads."""

    steps: int = Field(ge=1)
    """Of each of the two runs."""


class BaseRecipe(RunSettings):
    """How a base model is pre-trained."""

    kind: Literal["base"]
    """What the recipe makes."""
    corpus: Corpus
    """The raw text of the first phase."""
    tokenizer: TokenizerSettings
    """Its size, and the text it is fitted on."""
    architecture: Architecture
    """The model's shape."""
    pretraining: Pretraining
    """The first phase, over the corpus."""
    worked: WorkedCorpus
    """The raw text of the second phase."""
    midtraining: Pretraining
    """The second phase, over exercises that are worked out."""
    control: BaseControl
    """A shorter comparison with and without balancing."""

    @model_validator(mode="after")
    def _known_domains(self) -> "BaseRecipe":
        refuse_unknown_domains("corpus.documents", self.corpus.documents)
        return self
