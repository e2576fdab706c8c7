"""A row of the user's table as a problem: the table's settings, and what each verifier takes from its columns."""

import json
import re
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from afterbase.core.config import Config, How
from afterbase.core.errors import UserError, collect, refuse
from afterbase.core.row_files import Row
from afterbase.core.sample import Problem
from afterbase.data.formats.json_values import as_json
from afterbase.data.formats.source_table import first_row, refuse_missing
from afterbase.verify.check import NONE
from afterbase.verify.extract import Way
from afterbase.verify.ifeval.follow import read_spec
from afterbase.verify.own.own_function import OWN, OwnFunction, find, is_own

_IN_POWERS_OF_TEN = re.compile(r"[+-]?\d+(?:\.\d*)?[eE][+-]?\d{1,2}", re.ASCII)  # as a CSV holds floats
_NEEDED = {
    "maths": ("answer",),
    "exact": ("answer",),
    "choice": ("answer",),
    "ifeval": ("instructions",),
    "python": ("function", "tests"),
    "program": ("tests",),
    NONE: (),
}
_OBVIOUS = {
    "prompt": ("prompt", "question", "problem", "instruction"),
    "answer": ("answer", "gold", "solution", "target"),
}
_OPTIONS = 4  # of a choice, if no answer's letter is beyond them


class Columns(Config):
    """Which column of the table holds what; those that the verifier needs have to be named, but for obvious ones."""

    prompt: str | None = None
    """Without it the first of `prompt`, `question`, `problem`, `instruction` that is there."""
    id: str | None = None
    """What the table tells its rows apart by; a value that comes twice is refused."""
    answer: str | None = None
    """The bare right answer, for `maths` and `exact`, or its letter, for `choice`; without it the first of `answer`,
    `gold`, `solution`, `target`. A function of one's own gets it as `gold`, where there is one."""
    response: str | None = None
    """A whole right response, which the verifier has to accept; for `maths` a box around the answer does instead."""
    function: str | None = None
    """The name of the function to write, for `python`."""
    tests: str | None = None
    """For `python` a list of {"args", "expected"}, for `program` of {"stdin", "stdout"}; as such, or as JSON text."""
    instructions: str | None = None
    """For `ifeval` a list of {"id", "kwargs"}; as such, or as JSON text."""


class Source(Config):
    """A table, what is in its columns, and how many of its problems."""

    path: How[str]
    """A file, a pattern or a folder that `data/formats/files_of_rows.py` reads, or hub:ORG/NAME."""
    licence: str = ""
    """Under which the table may be used, such as an SPDX identifier; it goes with every problem."""
    split: str = "train"
    """The split of a folder of splits or of a set of `datasets`."""
    columns: Columns = Field(default_factory=Columns)
    """Which column holds what, where the names do not tell."""
    verifier: str
    """`maths`, `exact`, `choice`, `ifeval`, `python`, `program`; a function of one's own, FILE.py:FUNCTION or
    MODULE:FUNCTION (`verify/own/`); or `none`, where further rules of the reward, or a reward model, judge alone."""
    language: str | None = None
    """Of the programs, for `program`."""
    instruction: str = ""
    """Stands after the prompt, in a line of its own."""
    answer_by: list[Way] = Field(default=["box"], min_length=1)
    """Where the answer is in a response, for `maths`, `exact` and `choice`, by the first way that finds one."""
    credit_cut_off: bool = False
    """Whether the last number, or the whole, of a response that the budget cut off counts as its answer."""
    benchmarks: How[list[str]] = Field(default_factory=list)
    """Files of hashes (`afterbase data hash`) of benchmarks that no problem may be of."""
    most_rejected: float = Field(default=0.0, ge=0, lt=1)
    """Share of problems that may be left out because the verifier does not accept their own gold response."""
    train: PositiveInt | Literal["all"] = "all"
    """Training problems; `all`: as many as there are."""
    test: int = Field(default=0, ge=0)
    """With 0 no problem is kept for tests, and `train` draws from all."""

    @cached_property
    def own(self) -> OwnFunction | None:
        """The function of the user's own that judges, if one does."""
        return find(self.verifier) if is_own(self.verifier) else None

    @model_validator(mode="after")
    def _complete(self) -> "Source":
        if self.own is None and self.verifier not in _NEEDED:
            raise UserError(
                "a table's verifier is a built-in one, `none`, or a function of one's own",
                got=f"`{self.verifier}`",
                remedy=f"use one of {', '.join(_NEEDED)}, or FILE.py:FUNCTION",
            )
        needed = [name for name in _NEEDED.get(self.verifier, ()) if name not in _OBVIOUS]
        missing = [f"columns.{name}" for name in needed if getattr(self.columns, name) is None]
        missing += ["language"] if self.verifier == "program" and self.language is None else []
        if missing:
            raise UserError(
                f"the verifier `{self.verifier}` needs {', '.join(missing)}", got="none", remedy=f"add `{missing[0]}`"
            )
        return self

    def named_columns(self) -> list[str]:
        """The columns that a row must have."""
        return list(dict.fromkeys(name for _, name in self.columns if name is not None))

    def with_columns(self) -> "Source":
        """The same, with the obvious columns of its table named. UserError where one is neither named nor obvious."""
        row = first_row(self.path, split=self.split)
        missing: list[UserError] = []
        for name in self.named_columns():
            with collect(missing):
                if name not in row.values:
                    refuse_missing(self.path, row, name)
        refuse(missing)
        found: dict[str, str] = {}
        for role in _OBVIOUS:
            if getattr(self.columns, role) is not None:
                continue
            there = [name for name in _OBVIOUS[role] if name in row.values]
            if not there:
                if role == "answer" and "answer" not in _NEEDED.get(self.verifier, ()):
                    continue
                raise UserError(
                    f"a table has a column of the {role}: {', '.join(_OBVIOUS[role])}, or the one that is named",
                    got=f"{', '.join(map(str, row.values)) or 'none'} in {self.path}",
                    remedy=f'name it: columns = {{ {role} = "..." }}',
                )
            found[role] = there[0]
        return self.model_copy(update={"columns": self.columns.model_copy(update=found)})


def row_problem(name: str, config: Source, row: Row) -> Problem:
    """The problem in one row. UserError, with its place, where a column does not hold what it should."""
    columns = config.columns
    prompt = _cell(config, row, "prompt")
    spec, gold = _spec(config, row)
    if config.credit_cut_off:
        spec["credit_cut_off"] = True
    source = {"licence": config.licence, "split": config.split, "row": row.place}
    return Problem(
        domain=name,
        prompt=f"{prompt}\n{config.instruction}" if config.instruction else prompt,
        gold=_cell(config, row, "response") if columns.response is not None else gold,
        verifier=config.verifier if config.own is None else OWN,
        spec={**spec, "source": source, "row": _plain(config, row)},
    )


def _spec(config: Source, row: Row) -> tuple[dict[str, Any], str | None]:
    """What the verifier reads, and a right response as far as the right answer makes one."""
    if config.own is not None:
        return {"function": config.own.shown, "digest": config.own.digest, **_own_answer(config, row)}, None
    match config.verifier:
        case "exact" if _texts(answers := row.values[str(config.columns.answer)]):
            return {"answer": answers, "answer_by": config.answer_by}, _marked(answers[0], config)
        case "maths" | "exact":
            answer = _cell(config, row, "answer")
            return {"answer": answer, "answer_by": config.answer_by}, _marked(answer, config)
        case "choice":
            letter = _letter(config, row)
            ways = {"answer_by": config.answer_by} if "answer_by" in config.model_fields_set else {}
            options = max(_OPTIONS, ord(letter) - ord("A") + 1)
            gold = _marked(letter, config) if ways else f"The answer is {letter}"
            return {"answer": letter, "options": options, **ways}, gold
        case "ifeval":
            return _instructions(config, row), None
        case "python":
            tests = _tests(config, row, "tests", {"args", "expected"})
            return {"tests": tests, "function": _cell(config, row, "function")}, None
        case "program":
            return {"tests": _tests(config, row, "tests", {"stdin", "stdout"}), "language": config.language}, None
    return {}, None


def _own_answer(config: Source, row: Row) -> dict[str, Any]:
    """The right answer for a function of one's own: as the row has it, a number by its digits; none without one."""
    if config.columns.answer is None:
        return {}
    value = _plain(config, row)[config.columns.answer]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"answer": _cell(config, row, "answer") if is_number else value}


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text.strip() for text in value)


def _marked(answer: str, config: Source) -> str:
    return f"\\boxed{{{answer}}}" if "box" in config.answer_by else f"The answer is {answer}"


def _letter(config: Source, row: Row) -> str:
    answer = _cell(config, row, "answer").strip("().").upper()
    if not re.fullmatch("[A-Z]", answer):
        raise UserError(
            "the column of `answer` holds the letter of the right option",
            got=f"{row.place} of {config.path}: {json.dumps(row.values[str(config.columns.answer)], default=str)[:80]}",
            remedy="write A, B, C ..., or use the verifier `exact`",
        )
    return answer


def _instructions(config: Source, row: Row) -> dict[str, Any]:
    spec = {"instructions": _objects(config, row, "instructions", {"id"})}
    try:
        read_spec(spec)
    except UserError as error:
        raise UserError(error.rule, got=f"{row.place} of {config.path}: {error.got}", remedy=error.remedy) from None
    return spec


def _plain(config: Source, row: Row) -> dict[str, Any]:
    """The user's own row as JSON has it, for rewards of the user's own."""
    try:
        return as_json(row.values)
    except ValueError as error:
        raise UserError(
            "a row holds what JSON can hold",
            got=f"{row.place} of {config.path}: {error}",
            remedy="leave that column out of the table",
        ) from error


def prompt_cell(config: Source, row: Row) -> str:
    """The prompt as the row has it, without the source's instruction."""
    return _cell(config, row, "prompt")


def _cell(config: Source, row: Row, what_for: str) -> str:
    """The text in a column; a number stands for its digits, nothing else for a text, and NaN for an empty cell."""
    column = getattr(config.columns, what_for)
    value = row.values[column]
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        value = _digits(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
    elif isinstance(value, str) and what_for == "answer" and _IN_POWERS_OF_TEN.fullmatch(value.strip()):
        value = _digits(Decimal(value.strip()))
    if not isinstance(value, str) or not value.strip() or (what_for == "answer" and value.strip().lower() == "nan"):
        raise UserError(
            f"the column of `{what_for}` holds text, which is not empty",
            got=f"{row.place} of {config.path}: `{column}` is {json.dumps(row.values[column], default=str)[:80]}",
            remedy="correct the row, or leave it out",
        )
    return value.strip()


def _digits(number: Decimal) -> str:
    """A number as people write it, without a power of ten: 0.00001 rather than 1e-05, 42 rather than 42.0."""
    if not number.is_finite():
        return ""
    text = f"{number or Decimal(0):f}"  # no -0
    return text.rstrip("0").removesuffix(".") if "." in text else text


def _tests(config: Source, row: Row, what_for: str, keys: set[str]) -> list[dict[str, Any]]:
    return [{key: test[key] for key in sorted(keys)} for test in _objects(config, row, what_for, keys)]


def _objects(config: Source, row: Row, what_for: str, keys: set[str]) -> list[dict[str, Any]]:
    value = row.values[getattr(config.columns, what_for)]
    try:
        tests = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        tests = None
    if not isinstance(tests, list) or not tests or any(not isinstance(t, dict) or not keys <= t.keys() for t in tests):
        raise UserError(
            f"the column of `{what_for}` holds a list of objects with {' and '.join(sorted(keys))}",
            got=f"{row.place} of {config.path}: {json.dumps(value, default=str)[:80]}",
            remedy="correct the row, or leave it out",
        )
    return tests
