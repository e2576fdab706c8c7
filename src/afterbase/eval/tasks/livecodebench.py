"""LiveCodeBench (Jain et al. 2024, arXiv 2403.07974): competition problems from August to November 2024, in Python.

The report gives two numbers, with and without reasoning before the program. Tests either give standard input, or the
arguments of a method of `Solution`, as JSON. Hidden tests come packed; of their pickle nothing but a string is taken.
"""

import base64
import functools
import io
import json
import pickle
import zlib
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, field_validator

from afterbase.eval.tasks.programs import isolation, last_program, marks
from afterbase.eval.tasks.sources import Folder, Source
from afterbase.eval.tasks.task import Answered, Item, Mark, Task
from afterbase.verify.programs import Case, Program

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
_IMPORTS = """import bisect, collections, copy, functools, heapq, io, itertools
import json, math, operator, random, re, string, sys
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from typing import *
"""
_CALL = """
def _answer_to_tests():
    given = [json.loads(line) for line in sys.stdin.read().split("\\n") if line.strip()]
    out, sys.stdout = sys.stdout, io.StringIO()
    result = Solution().{method}(*given)
    sys.stdout = out
    print(json.dumps(result))
_answer_to_tests()
"""


class _OnlyText(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"tests are a text, and no {module}.{name}")


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
            return _OnlyText(io.BytesIO(zlib.decompress(base64.b64decode(packed)))).load()
        except (ValueError, zlib.error, pickle.UnpicklingError, EOFError) as error:
            raise ValueError(f"hidden tests are JSON, plain or packed: {error}") from error

    @property
    def tests(self) -> list[dict[str, str]]:
        return json.loads(self.public_test_cases) + json.loads(self.private_test_cases)


def _item(row: Row, how: str) -> Item:
    method = json.loads(row.metadata).get("func_name") if row.starter_code.strip() else None
    cases = [Case(test["input"], _expected(test["output"], method)) for test in row.tests]
    form = _STARTER.format(starter=row.starter_code.rstrip()) if method else _STDIN
    prompt = _PROMPT.format(how=how, problem=row.question_content.strip(), form=form)
    return Item(id=row.question_id, prompt=prompt, question=row.question_content.strip(), gold=(method, tuple(cases)))


def _expected(output: str, method: str | None) -> str:
    return output if method is None else json.dumps(json.loads(output))


def items(folder: Folder, *, how: str) -> list[Item]:
    rows = [row for row in folder.rows(SOURCE, Row) if FIRST <= row.contest_date.date() <= LAST]
    return [_item(row, how) for row in rows]


def score(answered: Answered) -> list[Mark]:
    programs = []
    for item, response in answered:
        method, cases = item.gold
        _, text = last_program(response, default="python", languages=("python", "py", "python3"))
        text = text if method is None else f"{_IMPORTS}{text}\n{_CALL.format(method=method)}"
        programs.append(Program("python", text, cases))
    return marks(programs)


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
