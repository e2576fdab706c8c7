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


class BaseRecipe(RunSettings):
    """How a base model is pre-trained."""

    kind: Literal["base"]
    corpus: Corpus
    tokenizer: TokenizerSettings
    architecture: Architecture
    pretraining: Pretraining
    worked: WorkedCorpus
    midtraining: Pretraining
    control: BaseControl

    @model_validator(mode="after")
    def _known_domains(self) -> "BaseRecipe":
        refuse_unknown_domains("corpus.documents", self.corpus.documents)
        return self
