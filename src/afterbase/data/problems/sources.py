r"""Problems from a table of the user's: a file, or a set of `datasets`, with its licence and its split.

Before anything is paid for, each row is checked, equal prompts become one, what a benchmark holds is left out,
and the gold answers go through their verifier. What is left out is in dropped.jsonl, with the row and the rule. Test
problems are of the share that is kept for tests (`test_share.py`), chosen by the prompt's hash.
"""

import dataclasses
import heapq
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from afterbase.core.config import what
from afterbase.core.errors import UserError, collect, refuse
from afterbase.core.row_files import Row
from afterbase.core.sample import Problem, content_id, write_problems
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.clean.decontaminate import Benchmark, Contamination, Decontamination, Hit, load_benchmark
from afterbase.data.formats.source_table import read_table, table_digest
from afterbase.data.problems.prompt_hash import prompt_hash
from afterbase.data.problems.source_rows import Source, prompt_cell, row_problem
from afterbase.data.problems.test_share import for_tests
from afterbase.verify.check import audit
from afterbase.verify.own.own_function import OWN, find, is_own
from afterbase.verify.own.own_verdicts import refuse_unready

VERSION = 5
_BATCH = 128  # rows that are compared with benchmarks in one call
_SCANNED, _TOLD = 10_000, 5  # rows that are looked at before a run, and broken ones that are told


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

    # found in each process that may judge, also in one that was given the settings
    own = find(config.verifier) if is_own(config.verifier) else None

    def make(work: Workspace) -> None:
        if own is not None:
            refuse_unready(own)
        train, test, dropped = source_problems(name, config, seed)
        work.log(1, 1, train=len(train), test=len(test), dropped=len(dropped))
        write_problems(work.payload / "train.parquet", train)
        write_problems(work.payload / "test.parquet", test)
        rows = [json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in dropped]
        (work.payload / "dropped.jsonl").write_text("".join(rows), encoding="utf-8")

    settings = {
        **what(config),
        # where a function lies is no part of the key
        "verifier": config.verifier if own is None else f"{OWN}: {own.key}",
        "domain": name,
        "seed": seed,
        "table": table_digest(config.path, split=config.split),
        "benchmarks": sorted(b.digest for b in _benchmarks(config)),
    }
    made = store.produce(f"{name} problems", "sources", VERSION, what=settings, inputs={}, make=make)
    # What is asked for is known before anything is made: the cost of later stages depends on it.
    return (
        dataclasses.replace(made, manifest={"what": {**settings, "train": most_train(config)}})
        if made.planned
        else made
    )


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
            problems.append(row_problem(name, config, row))
        prompts = [prompt_cell(config, row) for row in batch]
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
                row_problem(name, config, row)
            scanned += 1
    refuse(found)
    rows = f"the first {scanned:,} rows" if more else f"all {scanned:,} rows"
    return f"{name}: {rows} of {config.path} can be read{', the others are read when the run begins' if more else ''}."
