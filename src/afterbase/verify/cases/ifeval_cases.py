"""Files of responses with the verdict that is expected on one instruction: how often ours agrees, and where not.

`expected` is of the instruction alone, on the text as it stands; `expected_strict` and `expected_loose` are of the two
readings, to which an empty response follows nothing. A row has the first, or the other two, or all.
"""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, model_validator

from afterbase.core.errors import UserError
from afterbase.core.rows import read_rows
from afterbase.verify.ifeval.catalogue import build
from afterbase.verify.ifeval.follow import Reading, follows
from afterbase.verify.ifeval.instruction import Instruction


class Case(BaseModel):
    """One response to one instruction."""

    instruction_id: str
    kwargs: dict[str, Any]
    response: str
    expected: bool | None = None
    expected_strict: bool | None = None
    expected_loose: bool | None = None

    @property
    def instruction(self) -> Instruction:
        return build(self.instruction_id, self.kwargs)

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        try:
            _ = self.instruction
        except UserError as error:
            raise ValueError(f"{error.rule}, got {error.got}") from error
        if not _labels(self):
            raise ValueError("`expected`, or `expected_strict` and `expected_loose`, are needed")
        return self


def agreement(path: Path) -> dict[str, Any]:
    """{n, agree, disagree: [{line, instruction_id, kwargs, response, expected..., got...}]}; `line` counts cases."""
    cases = read_rows(path, Case)
    disagree = []
    for line, case in enumerate(cases, start=1):
        expected, got = _labels(case), judge(case)
        if any(got[name] != label for name, label in expected.items()):
            about = case.model_dump(include={"instruction_id", "kwargs", "response"})
            said = {name.replace("expected", "got"): got[name] for name in expected}
            disagree.append({"line": line, **about, **expected, **said})
    return {"n": len(cases), "agree": len(cases) - len(disagree), "disagree": disagree}


def judge(case: Case) -> dict[str, bool]:
    """Our verdicts, by the names of the labels that they are held against."""
    instruction = case.instruction
    return {
        "expected": instruction.followed(case.response),
        "expected_strict": follows(instruction, case.response, reading=Reading.STRICT),
        "expected_loose": follows(instruction, case.response, reading=Reading.LOOSE),
    }


def _labels(case: Case) -> dict[str, bool]:
    return case.model_dump(include={"expected", "expected_strict", "expected_loose"}, exclude_none=True)
