"""The settings of an open domain of the user's own: prompts of a table, drafts, and who rewards answers to them."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from afterbase.core.config import Config, How
from afterbase.core.errors import UserError
from afterbase.data.formats.source_table import first_row, read_table
from afterbase.data.generate.teacher import Teacher
from afterbase.data.problems.source_rows import Columns, Source
from afterbase.verify.check import NONE
from afterbase.verify.own.own_function import is_own

MODEL, JUDGE = "model", "judge"
_RESPONSES = ("response", "completion", "answer", "output")


class OpenColumns(Config):
    """Which column of the table holds what."""

    prompt: str | None = None
    """Without it the first of `prompt`, `question`, `problem`, `instruction` that is there."""
    id: str | None = None
    """What the table tells its rows apart by; a value that comes twice is refused."""
    response: str | None = None
    """The draft of an answer, in place of a teacher's; without a teacher the first of `response`, `completion`,
    `answer`, `output` that is there."""


class OpenDomain(Config):
    """An open domain of one's own: prompts that no rule decides, from a table."""

    path: How[str]
    """A file, a pattern or a folder of rows, or hub:ORG/NAME, as of a source."""
    licence: str = ""
    """Under which the table may be used; it goes with every prompt."""
    split: str = "train"
    """The split of a folder of splits or of a set of `datasets`."""
    columns: OpenColumns = Field(default_factory=OpenColumns)
    """Which column holds what, where the names do not tell."""
    instruction: str = ""
    """Stands after the prompt, in a line of its own."""
    benchmarks: How[list[str]] = Field(default_factory=list)
    """Files of hashes (`afterbase data hash`) of benchmarks that no prompt may be of."""
    train: PositiveInt | Literal["all"] = "all"
    """Prompts to train on; `all`: as many as there are."""
    test: int = Field(default=0, ge=0)
    """Prompts that are kept for tests."""
    reward: str = MODEL
    """Who rewards answers: `model`, the recipe's reward model; `judge`, the recipe's judge; a function of one's own,
    FILE.py:FUNCTION or MODULE:FUNCTION; or `none`: the domain is then fine-tuned on and evaluated, and takes no part
    in reinforcement learning."""
    check_drafts: bool = False
    """Leave out the drafts that the function of `reward` does not count as solved."""
    teacher: How[Teacher | None] = None
    """Who writes this domain's drafts, in place of the recipe's teacher."""
    system: How[str | None] = None
    """The system prompt that the teacher writes under: a shipped name, or a text file. It is not trained on."""

    @model_validator(mode="after")
    def _complete(self) -> "OpenDomain":
        if self.reward not in (MODEL, JUDGE, NONE) and not is_own(self.reward):
            raise UserError(
                "an open domain is rewarded by `model`, `judge`, `none`, or a function of one's own",
                got=f"`{self.reward}`",
                remedy="use one of the three, or FILE.py:FUNCTION",
            )
        if self.check_drafts and not is_own(self.reward):
            raise UserError(
                "drafts are checked by the function that rewards answers",
                got=f"check_drafts = true and reward = {self.reward}",
                remedy="leave `check_drafts` out, or name FILE.py:FUNCTION as `reward`",
            )
        return self

    @property
    def by_model(self) -> bool:
        """Whether a reward model or a judge rewards answers."""
        return self.reward in (MODEL, JUDGE)

    @property
    def source(self) -> Source:
        """The table of its prompts, as of a source whose verifier is the own function, or none."""
        return Source(
            path=self.path,
            licence=self.licence,
            split=self.split,
            columns=Columns(prompt=self.columns.prompt, id=self.columns.id),
            verifier=self.reward if is_own(self.reward) else NONE,
            instruction=self.instruction,
            benchmarks=self.benchmarks,
            train=self.train,
            test=self.test,
        )

    def draft_column(self, teacher: Teacher | None) -> str | None:
        """The column that holds the drafts; None where `teacher` writes them. UserError where there is neither."""
        if self.columns.response is not None or teacher is not None:
            return self.columns.response
        there = first_row(self.path, split=self.split).values
        found = next((name for name in _RESPONSES if name in there), None)
        if found is None:
            raise UserError(
                f"drafts come from a teacher, or from a column, such as {', '.join(_RESPONSES)}",
                got=f"no teacher, and columns {', '.join(map(str, there)) or 'none'} in {self.path}",
                remedy='add a [teacher], or name the column: columns = { response = "..." }',
            )
        return found


def check_drafts_of(name: str, config: OpenDomain, teacher: Teacher | None) -> None:
    """UserError, with the row, where the column of drafts is not there, or holds something other than text."""
    column = config.draft_column(teacher)
    if column is None:
        return
    for row in read_table(config.path, split=config.split, columns=[column]):
        if not isinstance(row.values[column], str | None):
            raise UserError(
                f"the drafts of `open.{name}` are texts",
                got=f"{type(row.values[column]).__name__} in `{column}`, {row.place} of {config.path}",
                remedy="correct the row, or name another column",
            )
