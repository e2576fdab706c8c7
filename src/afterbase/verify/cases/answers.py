"""A file of answers of any kind, each with what it is judged by: what `afterbase verify answers` tells.

Every row is checked before the first is judged. A spec is what a problem has; what its verifier does not read is passed
over, as are other columns. Texts may hold what is no Unicode (half a surrogate pair), since models write that.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, InstanceOf, ValidationError, model_validator

from afterbase.core.errors import UserError
from afterbase.core.faults import first_fault
from afterbase.core.rows import read_rows
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.sandbox import SPELLINGS, CaseRow, toolchain
from afterbase.verify.cases.program_cases import known_language
from afterbase.verify.check import check_many
from afterbase.verify.extract import Way
from afterbase.verify.ifeval.follow import read_spec

_AT_ONCE = 1000  # rows between two words on how far it is

Text = InstanceOf[str]
Ways = Annotated[list[Way], Field(min_length=1)]


class _Spec(BaseModel):
    model_config = ConfigDict(strict=True)


class MathsSpec(_Spec):
    """The bare right answer, where the response's is, and whether it has to be evaluated."""

    answer: Text
    answer_by: Ways = ["box"]
    evaluated: bool = True


class ExactSpec(_Spec):
    """The right string, or several."""

    answer: Text | Annotated[list[Text], Field(min_length=1)]
    answer_by: Ways = ["box"]


class ChoiceSpec(_Spec):
    """The right letter, and the options' texts, or how many there are."""

    answer: Annotated[str, Field(pattern="^[A-Z]$")]
    options: Annotated[int, Field(ge=1, le=26)] | Annotated[list[Text], Field(min_length=1, max_length=26)] = 4
    answer_by: Ways | None = None

    @model_validator(mode="after")
    def _offered(self) -> "ChoiceSpec":
        if ord(self.answer) - ord("A") >= (self.options if isinstance(self.options, int) else len(self.options)):
            raise ValueError("the answer is none of the options")
        return self


class CallTest(_Spec):
    """The arguments of a call, and what it has to return."""

    args: list[Any]
    expected: Any


class PythonSpec(_Spec):
    """The function to define, and its tests."""

    function: str
    tests: Annotated[list[CallTest], Field(min_length=1)]


class ProgramSpec(_Spec):
    """The language, and the tests of a program."""

    language: Annotated[str, AfterValidator(known_language)]
    tests: Annotated[list[CaseRow], Field(min_length=1)]


class PuzzleEntry(_Spec):
    """An entry as reasoning-gym makes it; there is no answer where many are right."""

    question: Text
    answer: Any
    metadata: dict[Text, Any]


class PuzzleSpec(_Spec):
    """A data set of reasoning-gym, and its entry."""

    dataset: str
    entry: PuzzleEntry
    answer_by: Ways = ["box"]


class RubricSpec(_Spec):
    """What an open answer has to have: numbers are [least, most], each group of words has one that must appear."""

    sentences: Annotated[list[int], Field(min_length=2, max_length=2)]
    words: Annotated[list[int], Field(min_length=2, max_length=2)]
    must_mention: list[list[str]]
    persona_marks: list[str]
    must_not: list[str]


def _ifeval(spec: dict[str, Any]) -> None:
    try:
        read_spec(spec)
    except UserError as error:
        raise ValueError(f"{error.rule}: {error.got}") from error


_SPECS: dict[str, Callable[[dict[str, Any]], object]] = {
    "choice": ChoiceSpec.model_validate,
    "exact": ExactSpec.model_validate,
    "ifeval": _ifeval,
    "maths": MathsSpec.model_validate,
    "program": ProgramSpec.model_validate,
    "python": PythonSpec.model_validate,
    "reasoning_gym": PuzzleSpec.model_validate,
    "rubric": RubricSpec.model_validate,
}


class AnswerRow(BaseModel):
    """One line of the file."""

    model_config = ConfigDict(strict=True)
    id: Text | int
    verifier: str
    spec: dict[Text, Any]
    response: Text

    @model_validator(mode="after")
    def _readable(self) -> "AnswerRow":
        if self.verifier not in _SPECS:
            raise ValueError(f"verifier {self.verifier!r} is none of {', '.join(_SPECS)}")
        try:
            _SPECS[self.verifier](self.spec)
        except ValidationError as error:
            place, fault = first_fault(error)
            raise ValueError(f"{f'spec.{place}' if place else 'spec'} of `{self.verifier}`: {fault}") from error
        return self


def judged(path: Path, notify: Callable[[str], None]) -> dict[str, Any]:
    """{n, results: [{id, status, value, reason}]}, in the order of the file; `notify` is told how far it is.

    Programs in a language whose tools are missing are `failed`, `toolchain`. UserError, with its line, for a row that
    is none.
    """
    rows = read_rows(path, AnswerRow)
    missing = _missing_tools(rows, notify)
    results = []
    for start in range(0, len(rows), _AT_ONCE):
        if start:
            notify(f"{start} of {len(rows)} answers judged")
        results += _results(rows[start : start + _AT_ONCE], missing)
    return {"n": len(rows), "results": results}


def _results(rows: list[AnswerRow], missing: set[str]) -> list[dict[str, Any]]:
    run = [row for row in rows if _language(row) not in missing]
    problems = [Problem(domain="", prompt="", gold=None, verifier=row.verifier, spec=row.spec) for row in run]
    verdicts = iter(check_many(zip(problems, (row.response for row in run), strict=True)))
    no_tools = Verdict(verifier="program", status=Status.FAILED, value=0.0, reason="toolchain")
    given = [no_tools if _language(row) in missing else next(verdicts) for row in rows]
    return [
        {"id": row.id, "status": str(verdict.status), "value": verdict.value, "reason": verdict.reason}
        for row, verdict in zip(rows, given, strict=True)
    ]


def _language(row: AnswerRow) -> str | None:
    return SPELLINGS[row.spec["language"].lower()].name if row.verifier == "program" else None


def _missing_tools(rows: list[AnswerRow], notify: Callable[[str], None]) -> set[str]:
    missing = set()
    for name in sorted({_language(row) for row in rows} - {None}, key=str):
        try:
            toolchain(SPELLINGS[str(name)])
        except UserError as error:
            missing.add(str(name))
            notify(f"{error.rule}: {error.got}; {error.remedy}")
    return missing
