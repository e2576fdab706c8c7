r"""Problems from a table of the user's: a file, or a set of `datasets`, with its licence and its split.

Before anything is paid for, each row is checked, equal prompts become one, what a benchmark holds is left out,
and the gold answers go through their verifier. What is left out is in dropped.jsonl, with the row and the rule. Test
problems are of the share that is kept for tests (`test_share.py`), chosen by the prompt's hash.
"""

import dataclasses
import heapq
import itertools
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, PositiveInt, model_validator

from afterbase.core.config import Config, How, what
from afterbase.core.errors import UserError, collect, refuse
from afterbase.core.row_files import Row
from afterbase.core.sample import Problem, content_id, write_problems
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.clean.decontaminate import Benchmark, Contamination, Decontamination, Hit, load_benchmark
from afterbase.data.formats.json_values import as_json
from afterbase.data.formats.source_table import first_row, read_table, refuse_missing, table_digest
from afterbase.data.problems.prompt_hash import prompt_hash
from afterbase.data.problems.test_share import for_tests
from afterbase.verify.check import audit
from afterbase.verify.extract import Way

VERSION = 4
_BATCH = 128  # rows that are compared with benchmarks in one call
_SCANNED, _TOLD = 10_000, 5  # rows that are looked at before a run, and broken ones that are told
_IN_POWERS_OF_TEN = re.compile(r"[+-]?\d+(?:\.\d*)?[eE][+-]?\d{1,2}", re.ASCII)  # as a CSV holds floats
_NEEDED = {"maths": ("answer",), "python": ("function", "tests"), "program": ("tests",)}
_OBVIOUS = {
    "prompt": ("prompt", "question", "problem", "instruction"),
    "answer": ("answer", "gold", "solution", "target"),
}


class Columns(Config):
    """Which column of the table holds what; those that the verifier needs have to be named, but for obvious ones."""

    prompt: str | None = None
    """Without it the first of `prompt`, `question`, `problem`, `instruction` that is there."""
    id: str | None = None
    """What the table tells its rows apart by; a value that comes twice is refused."""
    answer: str | None = None
    """The bare right answer, for `maths`; without it the first of `answer`, `gold`, `solution`, `target`."""
    response: str | None = None
    """A whole right response, which the verifier has to accept; for `maths` a box around the answer does instead."""
    function: str | None = None
    """The name of the function to write, for `python`."""
    tests: str | None = None
    """For `python` a list of {"args", "expected"}, for `program` of {"stdin", "stdout"}; as such, or as JSON text."""


class Source(Config):
    """A table, what is in its columns, and how many of its problems."""

    path: How[str]
    """A file, a pattern or a folder that `data/formats/files_of_rows.py` reads, or hub:ORG/NAME."""
    licence: str = ""
    """Under which the table may be used, such as an SPDX identifier; it goes with every problem."""
    split: str = "train"
    columns: Columns = Field(default_factory=Columns)
    verifier: Literal["maths", "python", "program"]
    language: str | None = None
    """Of the programs, for `program`."""
    instruction: str = ""
    """Stands after the prompt, in a line of its own."""
    answer_by: list[Way] = Field(default=["box"], min_length=1)
    """Where the answer is in a response, for `maths`, by the first way that finds one."""
    benchmarks: How[list[str]] = Field(default_factory=list)
    """Files of hashes (`afterbase data hash`) of benchmarks that no problem may be of."""
    most_rejected: float = Field(default=0.0, ge=0, lt=1)
    """Share of problems that may be left out because the verifier does not accept their own gold response."""
    train: PositiveInt | Literal["all"]
    test: int = Field(ge=0)
    """With 0 no problem is kept for tests, and `train` draws from all."""

    @model_validator(mode="after")
    def _complete(self) -> "Source":
        needed = [name for name in _NEEDED[self.verifier] if name not in _OBVIOUS]
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
        for role in ("prompt", *(set(_NEEDED[self.verifier]) & {"answer"})):
            if getattr(self.columns, role) is not None:
                continue
            there = [name for name in _OBVIOUS[role] if name in row.values]
            if not there:
                raise UserError(
                    f"a table has a column of the {role}: {', '.join(_OBVIOUS[role])}, or the one that is named",
                    got=f"{', '.join(map(str, row.values)) or 'none'} in {self.path}",
                    remedy=f'name it: columns = {{ {role} = "..." }}',
                )
            found[role] = there[0]
        return self.model_copy(update={"columns": self.columns.model_copy(update=found)})


def most_train(config: Source) -> int:
    """How many training problems there can be: `train`, or with `all` as many as the table has rows."""
    if config.train != "all":
        return config.train
    return sum(1 for _ in read_table(config.path, split=config.split, columns=[]))


class Dropped(NamedTuple):
    """A row that is no problem of ours, and why."""

    row: str
    rule: str


def make_source(store: Store, name: str, config: Source, *, seed: int) -> Artifact:
    """train.parquet, test.parquet and dropped.jsonl of one table, as domain `name`."""

    def make(work: Workspace) -> None:
        train, test, dropped = source_problems(name, config, seed)
        work.log(1, 1, train=len(train), test=len(test), dropped=len(dropped))
        write_problems(work.payload / "train.parquet", train)
        write_problems(work.payload / "test.parquet", test)
        rows = [json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in dropped]
        (work.payload / "dropped.jsonl").write_text("".join(rows), encoding="utf-8")

    settings = {
        **what(config),
        "domain": name,
        "seed": seed,
        "table": table_digest(config.path, split=config.split),
        "benchmarks": sorted(b.digest for b in _benchmarks(config)),
    }
    made = store.produce(f"{name} problems", "sources", VERSION, what=settings, inputs={}, make=make)
    # What is asked for is known before anything is made: the cost of later stages depends on it.
    return dataclasses.replace(made, manifest={"what": {"train": most_train(config)}}) if made.planned else made


def source_problems(name: str, config: Source, seed: int) -> tuple[list[Problem], list[Problem], list[Dropped]]:
    """As `distinct_problems`, without those whose gold response is rejected, which are among the rows left out.

    Raises UserError where there are more of them than the source allows.
    """
    train, test, dropped = distinct_problems(name, config, seed)
    rejected = _rejected(config, [*train, *test])
    dropped += [Dropped(str(p.spec["source"]["row"]), rule) for p, rule in rejected.values()]
    return [p for p in train if p.id not in rejected], [p for p in test if p.id not in rejected], dropped


def distinct_problems(name: str, config: Source, seed: int) -> tuple[list[Problem], list[Problem], list[Dropped]]:
    """Disjoint train and test problems in an order of the seed, and the rows that are left out.

    Raises UserError, with the row, for what is no problem, for an id that comes twice, and where there are fewer
    distinct problems than asked for.
    """
    dropped: list[Dropped] = []
    wanted = None if config.train == "all" else config.train
    splits = _Best(wanted), _Best(config.test)
    for digest, problem in _distinct(name, config.with_columns(), dropped):
        splits[config.test > 0 and for_tests(digest)].offer(content_id(seed, digest), problem)
    train, test = (split.problems() for split in splits)
    if len(train) < (wanted or 1) or len(test) < config.test:
        raise UserError(
            "a source must have as many distinct problems as the recipe asks for",
            got=f"{len(train)} for training and {len(test)} for tests in {config.path}, {config.train} and "
            f"{config.test} asked for, {len(dropped)} rows dropped",
            remedy="lower `train` and `test`; a fifth of all problems is kept for tests",
        )
    return train, test, dropped


class _Best:
    """The problems of the lowest ranks, so that a large table takes no more memory than what is asked for.

    Without `most` they are all.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._heap: list[tuple[int, int, Problem]] = []
        self._offered = 0

    def offer(self, rank: str, problem: Problem) -> None:
        self._offered += 1
        entry = (-int(rank, 16), -self._offered, problem)
        if self._most is None or len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif self._heap and entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def problems(self) -> list[Problem]:
        return [problem for _, _, problem in sorted(self._heap, reverse=True)]


def _distinct(name: str, config: Source, dropped: list[Dropped]) -> Iterator[tuple[str, Problem]]:
    """Each problem once, with its prompt's hash."""
    held = _holder(config)
    seen: dict[str, str] = {}  # the hash of a prompt: of its answer
    ids: dict[str, str] = {}
    rows = read_table(config.path, split=config.split, columns=config.named_columns())
    while batch := list(itertools.islice(rows, _BATCH)):
        problems = []
        for row in batch:
            if config.columns.id is not None:
                _refuse_second(config, row, ids)
            problems.append(_problem(name, config, row))
        prompts = [_cell(config, row, "prompt") for row in batch]
        for row, problem, prompt, hit in zip(batch, problems, prompts, held(prompts), strict=True):
            digest = prompt_hash(prompt)
            answer = content_id({key: value for key, value in problem.spec.items() if key not in ("source", "row")})
            if hit is not None:
                dropped.append(Dropped(row.place, f"in the benchmark {hit.benchmark}"))
            elif digest in seen:
                rule = "duplicate" if seen[digest] == answer else "duplicate with another answer"
                dropped.append(Dropped(row.place, rule))
            else:
                seen[digest] = answer
                yield digest, problem


def _holder(config: Source) -> Callable[[list[str]], list[Hit | None]]:
    """What tells of each prompt which benchmark's item it holds."""
    if not config.benchmarks:
        return lambda prompts: [None] * len(prompts)
    contamination = Contamination(_benchmarks(config), Decontamination().overlap)
    return lambda prompts: contamination.find([[prompt] for prompt in prompts])


def _benchmarks(config: Source) -> list[Benchmark]:
    return [load_benchmark(Path(path)) for path in config.benchmarks]


def _refuse_second(config: Source, row: Row, ids: dict[str, str]) -> None:
    value = json.dumps(row.values[str(config.columns.id)], default=str)
    if value in ids:
        raise UserError(
            "an id stands for one row",
            got=f"{value} in {ids[value]} and in {row.place} of {config.path}",
            remedy="correct the ids, or leave `columns.id` out",
        )
    ids[value] = row.place


def _problem(name: str, config: Source, row: Row) -> Problem:
    columns, source = config.columns, {"licence": config.licence, "split": config.split, "row": row.place}
    prompt = _cell(config, row, "prompt")
    response = _cell(config, row, "response") if columns.response is not None else None
    if config.verifier == "maths":
        answer = _cell(config, row, "answer")
        boxed = f"\\boxed{{{answer}}}" if "box" in config.answer_by else f"The answer is {answer}"
        response = boxed if response is None else response
        spec: dict[str, Any] = {"answer": answer, "answer_by": config.answer_by}
    else:
        keys = {"args", "expected"} if config.verifier == "python" else {"stdin", "stdout"}
        spec = {"tests": _tests(config, row, keys)}
        spec |= {"language": config.language} if config.verifier == "program" else {}
        spec |= {"function": _cell(config, row, "function")} if config.verifier == "python" else {}
    return Problem(
        domain=name,
        prompt=f"{prompt}\n{config.instruction}" if config.instruction else prompt,
        gold=response,
        verifier=config.verifier,
        spec={**spec, "source": source, "row": _plain(config, row)},
    )


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


def _tests(config: Source, row: Row, keys: set[str]) -> list[dict[str, Any]]:
    value = row.values[str(config.columns.tests)]
    try:
        tests = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        tests = None
    if not isinstance(tests, list) or not tests or any(not isinstance(t, dict) or not keys <= t.keys() for t in tests):
        raise UserError(
            f"the column of `tests` holds a list of objects with {' and '.join(sorted(keys))}",
            got=f"{row.place} of {config.path}: {json.dumps(value, default=str)[:80]}",
            remedy="correct the row, or leave it out",
        )
    return [{key: test[key] for key in sorted(keys)} for test in tests]


def _rejected(config: Source, problems: list[Problem]) -> dict[str, tuple[Problem, str]]:
    """Problems by id whose gold response is not accepted, with the rule. UserError where they are too many."""
    rejected = {p.id: (p, f"gold {verdict.status}: {verdict.reason}") for p, verdict in audit(problems)}
    if len(rejected) > config.most_rejected * len(problems):
        problem, rule = next(iter(rejected.values()))
        raise UserError(
            "the verifier accepts the gold response of (nearly) every problem",
            got=f"{len(rejected)} of {len(problems)} rejected, `most_rejected` = {config.most_rejected}; the first, "
            f"{problem.spec['source']['row']} of {config.path}, {rule}: {str(problem.gold)[:200]!r}",
            remedy=f"correct the table or `columns`; to leave them out, set `most_rejected` to "
            f"{len(rejected) / len(problems):.3f} or above",
        )
    return rejected


def check_table(name: str, config: Source, *, most: int = _SCANNED) -> str:
    """Look at the first `most` rows of a table as they will be read; gives what was looked at, as a sentence.

    UserError, or UserErrors, for columns that are missing and rows that are broken, five of them at most.
    """
    config, ids = config.with_columns(), {}
    found: list[UserError] = []
    scanned, more = 0, False
    with collect(found):
        for row in read_table(config.path, split=config.split, columns=config.named_columns()):
            more = scanned == most
            if more or len(found) == _TOLD:
                break
            with collect(found):
                if config.columns.id is not None:
                    _refuse_second(config, row, ids)
                _problem(name, config, row)
            scanned += 1
    refuse(found)
    rows = f"the first {scanned:,} rows" if more else f"all {scanned:,} rows"
    return f"{name}: {rows} of {config.path} can be read{', the others are read when the run begins' if more else ''}."
