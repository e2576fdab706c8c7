"""LiveCodeBench (Jain et al. 2024, arXiv 2403.07974): competition problems from August to November 2024, in Python.

The report gives two numbers, with and without reasoning before the program. Tests either give standard input, or the
arguments of a method of `Solution`, as JSON. Hidden tests come packed; of their pickle nothing but a string is taken.

Judged as its harness does (`lcb_runner/evaluation/testing_util.py` of their repository, in our words): common modules
are imported and the limit of recursion is raised before the program; what it prints is compared line by line without
blank space at both ends, unequal lines as decimals (3.0 is 3); the end by `sys.exit` does not count. All calls of a
method are on one object, or on a bare function, and results are compared by Python's `==`, a tuple as a list.
"""

import base64
import contextlib
import decimal
import functools
import io
import json
import pickletools
import signal
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, field_validator

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.code.tested_programs import isolation, last_program
from afterbase.eval.tasks.task import Answered, Item, Mark, Task
from afterbase.sandbox import Case, Ended, Limits, ProgramRunner, Reason, find_confinement, language_of, worker_count

SOURCE = Source(
    file="livecodebench.jsonl",
    otherwise="the files test*.jsonl of livecodebench/code_generation_lite on the hub, one after another",
)
FIRST, LAST = date(2024, 8, 1), date(2024, 11, 30)
_PROMPT = """Solve this problem with a Python program. {how}

{problem}

{form}"""
_THINK = "Think it through step by step first, then write the program in one ```python block."
_DIRECT = "Reply with the program alone, in one ```python block."
_STDIN = "The program reads from standard input and prints its answer."
_STARTER = "Complete this code:\n\n```python\n{starter}\n```"
_MOST_OF_TESTS = 512 << 20  # bytes of a problem's hidden tests; the largest have some tens of MiB
_TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_AROUND_TEXTS = ("PROTO", "FRAME", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "STOP")
_SECONDS, _WALL = 6, 15  # for each test; of processor as in the harness, which lets a test have 6 by the clock
_OUT_OF_TIME = tuple(128 + number for number in (signal.SIGPROF, signal.SIGALRM))  # as the program's own timers end it
_RESULT = "result of a call: "
# What the program finds in its namespace; it is compiled apart, so that it may begin as it likes.
_RUN = """import sys
sys.setrecursionlimit(50000)
_names = {{"__name__": "__main__"}}
exec({imports!r}, _names)
try:
    exec(compile({program!r}, "main.py", "exec"), _names)
except SystemExit:
    pass
"""
_IMPORTS = """import bisect, collections, copy, datetime, functools, heapq, io, itertools
import json, math, operator, random, re, statistics, string, sys
from string import *
from re import *
from datetime import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from random import *
from statistics import *
from itertools import *
from functools import *
from operator import *
from io import *
from sys import *
from json import *
from builtins import *
from typing import *
"""
# Each result as JSON that keeps apart what `==` does; what is not of JSON's types equals no right answer.
_CALLS = """
def _plain(value):
    if value is None or isinstance(value, (bool, str, float)):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2 ** 63 else {{"int": hex(value)}}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {{"dict": [[_plain(key), _plain(part)] for key, part in value.items()]}}
    return {{"other": type(value).__name__}}

def _call():
    import io, json, signal
    given, out = sys.stdin.read(), sys.stdout
    call = getattr(_names["Solution"](), {method!r}) if {solution} else _names[{method!r}]
    for test in json.loads(given):
        signal.setitimer(signal.ITIMER_PROF, {seconds})
        signal.setitimer(signal.ITIMER_REAL, {wall})
        sys.stdout = io.StringIO()
        result = call(*test)
        sys.stdout = out
        result = list(result) if isinstance(result, tuple) else result
        print({mark!r} + json.dumps(_plain(result)), flush=True)
_call()
"""


class Row(BaseModel):
    """A problem with public and hidden tests; a starter where a method is to be written."""

    question_id: str
    question_content: str
    contest_date: datetime
    starter_code: str = ""
    public_test_cases: str
    private_test_cases: str
    metadata: str = "{}"

    @field_validator("private_test_cases")
    @classmethod
    def _unpacked(cls, packed: str) -> str:
        if packed.lstrip().startswith("["):
            return packed
        try:
            return _text_in(_inflated(base64.b64decode(packed)))
        except (ValueError, zlib.error) as error:
            raise ValueError(f"hidden tests are JSON, plain or packed: {error}") from error

    @property
    def tests(self) -> list[dict[str, str]]:
        return json.loads(self.public_test_cases) + json.loads(self.private_test_cases)


def _inflated(packed: bytes) -> bytes:
    inflate = zlib.decompressobj()
    text = inflate.decompress(packed, _MOST_OF_TESTS)
    if not inflate.eof:
        raise ValueError(f"cut off, or more than {_MOST_OF_TESTS >> 20} MiB")
    return text


def _text_in(pickled: bytes) -> str:
    """The one text of a pickle, which is read and not run. ValueError where it does anything else."""
    texts = []
    for operation, argument, _ in pickletools.genops(io.BytesIO(pickled)):
        if operation.name in _TEXTS:
            texts.append(argument)
        elif operation.name not in _AROUND_TEXTS:
            raise ValueError(f"tests are one text, and no {operation.name}")
    if len(texts) != 1:
        raise ValueError(f"tests are one text, and not {len(texts)}")
    return texts[0]


def _item(row: Row, how: str) -> Item:
    method = json.loads(row.metadata).get("func_name") if row.starter_code.strip() else None
    cases = [Case(test["input"], test["output"]) for test in row.tests]
    form = _STARTER.format(starter=row.starter_code.rstrip()) if method else _STDIN
    prompt = _PROMPT.format(how=how, problem=row.question_content.strip(), form=form)
    return Item(id=row.question_id, prompt=prompt, question=row.question_content.strip(), gold=(method, tuple(cases)))


def items(folder: Folder, *, how: str) -> list[Item]:
    rows = [row for row in folder.rows(SOURCE, Row) if FIRST <= row.contest_date.date() <= LAST]
    return [_item(row, how) for row in rows]


class _Task(NamedTuple):
    """A program, the method that its tests call, if they do, and the tests."""

    program: str
    method: str | None
    cases: Sequence[Case]


def score(answered: Answered) -> list[Mark]:
    """1 for a program that passes all its tests."""
    tasks = []
    for item, response in answered:
        method, cases = item.gold
        _, text = last_program(response, default="python", languages=("python",))
        tasks.append(_Task(text, method, cases))
    with ThreadPoolExecutor(worker_count()) as pool:
        reasons = list(pool.map(_reason, tasks))
    return [Mark(float(r == "match"), None, r, failed=r == str(Reason.SANDBOX)) for r in reasons]


def _reason(task: _Task) -> str:
    """The first reason that is no match: mismatch, or how the run ended."""
    calls = len(task.cases) if task.method is not None else 1
    limits = Limits(cpu_seconds=_SECONDS * calls + 1, wall_seconds=float(_WALL * calls + 1))
    source = _RUN.format(imports=_IMPORTS, program=task.program)
    if task.method is not None:
        solution = "class Solution" in task.program
        source += _CALLS.format(method=task.method, solution=solution, mark=_RESULT, seconds=_SECONDS, wall=_WALL)
    runner = ProgramRunner(confinement=find_confinement(), limits=limits)
    with runner.written(language_of("python"), source) as run:
        fault = run.fault_of_building()
        if fault is not None:
            return fault
        if task.method is not None:
            given = [[json.loads(line) for line in case.stdin.split("\n") if line.strip()] for case in task.cases]
            return _of_calls(run.ended(json.dumps(given)), task.cases)
        for case in task.cases:
            ended = run.ended(case.stdin)
            if ended.reason is not Reason.OK:
                return str(ended.reason)
            if not _prints(ended.stdout.decode(errors="replace"), case.stdout):
                return "mismatch"
    return "match"


def _of_calls(ended: Ended, cases: Sequence[Case]) -> str:
    if ended.reason is not Reason.OK:
        return str(Reason.TIMEOUT if ended.status in _OUT_OF_TIME else ended.reason)
    lines = ended.stdout.decode(errors="replace").split("\n")
    results = [line.removeprefix(_RESULT) for line in lines if line.startswith(_RESULT)]
    if len(results) != len(cases):
        return "mismatch"
    return "match" if all(map(_returns, results, (case.stdout for case in cases))) else "mismatch"


def _returns(result: str, expected: str) -> bool:
    """Whether what a call gave equals what is expected, as values of Python."""
    try:
        return _value(json.loads(result)) == json.loads(expected)
    except (ValueError, RecursionError, TypeError, KeyError):
        return False


class _Other:
    """A value that JSON has no word for: it equals none."""


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(part) for part in value]
    if isinstance(value, dict):
        kind, content = next(iter(value.items()))
        if kind == "int":
            return int(content, 16)
        return {_value(key): _value(part) for key, part in content} if kind == "dict" else _Other()
    return value


def _prints(printed: str, expected: str) -> bool:
    """Whether the lines are the same without blank space around them, or the same decimals."""
    own, right = ([line.strip() for line in text.strip().split("\n")] for text in (printed, expected))
    return len(own) == len(right) and all(
        a == b or ((x := _decimals(a)) is not None and x == _decimals(b)) for a, b in zip(own, right, strict=True)
    )


def _decimals(line: str) -> list[decimal.Decimal] | None:
    with contextlib.suppress(decimal.InvalidOperation, ValueError):
        return [decimal.Decimal(part) for part in line.split()]
    return None


def _task(title: str, how: str) -> Task:
    return Task(
        title=title,
        sources=(SOURCE,),
        licence="problems of their sites, for research (CC BY 4.0 on the hub)",
        metric="pass@1",
        items=functools.partial(items, how=how),
        score=score,
        needs=isolation,
    )


TASK = _task("LiveCodeBench", _DIRECT)
TASK_COT = _task("LiveCodeBench (CoT)", _THINK)
