"""What one verifiable instruction is: arguments that are checked when it is built, and whether a text follows it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Relation = Literal["less than", "at least"]
Count = Annotated[int, Field(ge=0)]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression: {pattern!r} ({error})") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
"""Text that is searched for as a regular expression, as the reference does: `.` finds any character."""


class Instruction(BaseModel):
    """One instruction; its fields are the arguments that IFEval's data give it, by the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def followed(self, text: str) -> bool:
        """Whether the text, as it stands, does what is asked."""
        raise NotImplementedError  # each instruction has its own


def holds(count: int, relation: Relation, threshold: int) -> bool:
    """Whether `count` is less than the threshold, or at least that much."""
    return count < threshold if relation == "less than" else count >= threshold
