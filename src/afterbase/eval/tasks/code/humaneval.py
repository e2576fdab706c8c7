"""HumanEval (Chen et al. 2021, arXiv 2107.03374): 164 Python functions, judged by running their tests.

The program that is run is the prompt, then the response's code, then the tests, in the sandbox that rewards are
computed in. A response without a block of code is taken as a continuation of the prompt.
"""

import functools
import re

from pydantic import BaseModel

from afterbase.core.code.code_blocks import program_with
from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.task import Answered, Item, Mark, Task
from afterbase.sandbox import CallRunner, ForkLimits, Reason, Run, language_of, missing_isolation

SOURCE = Source(file="humaneval.jsonl", hub="openai/openai_humaneval", split="test")
LIMITS = ForkLimits(cpu_seconds=4, wall_seconds=12.0)
_PROMPT = """Complete this Python function. Reply with the whole function, with the imports it needs, in one ```python \
block.

```python
{prompt}
```"""
_PASSED = "passed_every_test_"


class Row(BaseModel):
    """A function's head, its name, its body, and the tests."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str


def code_of(response: str, function: str) -> str:
    """The block that defines the function, the last one of them; else the likeliest; else the response itself."""
    block = program_with(response, language_of("python").spellings, function)
    if block is not None:
        return block
    start = re.search(rf"^(?:from\s|import\s|def\s+{re.escape(function)}\b)", response, re.MULTILINE)
    return response[start.start() :] if start else response


def program(prompt: str, response: str, function: str, test: str) -> str:
    """Prompt, code, tests: the code may be a whole function, which then stands for the prompt's, or only its body."""
    return f"{prompt}\n{code_of(response, function)}\n\n{test}\n"


def score(answered: Answered) -> list[Mark]:
    """1 where every test passes. An answer fails to be judged only where the sandbox itself does."""
    runs = [Run(program=_judged(item, response), function=_PASSED, calls=[[]]) for item, response in answered]
    with CallRunner(limits=LIMITS) as box:
        results = box.run_many(runs)
    marks = []
    for result in results:
        passed = result.reason is Reason.OK and result.results == [True]
        reason = "match" if passed else str(result.reason)
        marks.append(Mark(float(passed), None, reason, failed=result.reason is Reason.SANDBOX))
    return marks


def _judged(item: Item, response: str) -> str:
    prompt, function, test = item.gold
    check = f"def {_PASSED}():\n    check({function})\n    return True\n"
    return f"{program(prompt, response, function, test)}\n{check}"


def items(folder: Folder) -> list[Item]:
    return [
        Item(
            id=row.task_id,
            prompt=_PROMPT.format(prompt=row.prompt.strip("\n")),
            question=row.prompt.strip("\n"),
            gold=(row.prompt, row.entry_point, row.test),
            right=f"```python\n{row.prompt}{row.canonical_solution}\n```",
        )
        for row in folder.rows(SOURCE, Row)
    ]


@functools.cache
def isolation() -> str | None:
    """What keeps programs from being run here."""
    return missing_isolation()


TASK = Task(
    title="HumanEval",
    sources=(SOURCE,),
    licence="MIT",
    metric="pass@1",
    items=items,
    score=score,
    needs=isolation,
)
