"""HumanEval-Mul: HumanEval in eight languages, the files of DeepSeek-Coder (MultiPL-E's but for Python).

The report: the mean over Python, Java, C++, C#, JavaScript, TypeScript, PHP and Bash, greedy. Here every problem counts
the same; the languages have 158 to 164 problems each.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel, model_validator

from afterbase.core.errors import UserError
from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.code import humaneval
from afterbase.eval.tasks.code import tested_programs as programs
from afterbase.eval.tasks.code.multiple import DONE, Problem, program
from afterbase.eval.tasks.task import Answered, Item, Mark, Task
from afterbase.sandbox import LANGUAGES, ProgramRunner, Reason, find_confinement, language_of, toolchain, worker_count

SOURCE = Source(
    file="humaneval_multilang.jsonl",
    otherwise="the eight files Evaluation/HumanEval/data/humaneval-*.jsonl of github.com/deepseek-ai/DeepSeek-Coder, "
    "one after another",
)
_PROMPT = """Complete this {language} function. Keep what is given as it is, and reply with the whole function in one \
code block.

```{tag}
{prompt}
```"""
_SHOWN = {"cpp": "C++", "csharp": "C#", "javascript": "JavaScript", "typescript": "TypeScript", "php": "PHP"}


class Row(BaseModel):
    """A problem; rows without a language are Python's, whose tests call the function themselves."""

    task_id: str
    language: str
    prompt: str
    test: str
    stop_tokens: list[str] = []
    canonical_solution: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _python(cls, row: Any) -> Any:
        return {"language": "python", **row} if isinstance(row, dict) else row


def items(folder: Folder) -> list[Item]:
    made = []
    for row in folder.rows(SOURCE, Row):
        language = language_of(row.language).name
        prompt = _PROMPT.format(
            language=_SHOWN.get(language, language.capitalize()), tag=row.language, prompt=row.prompt.strip("\n")
        )
        gold = Problem(language=language, prompt=row.prompt, tests=row.test, stops=row.stop_tokens)
        right = row.canonical_solution and f"```python\n{row.prompt}{row.canonical_solution}\n```"
        made.append(
            Item(id=f"{language}/{row.task_id}", prompt=prompt, question=row.prompt.strip("\n"), gold=gold, right=right)
        )
    return made


def score(answered: Answered) -> list[Mark]:
    """1 where the program builds and passes every test."""
    with ThreadPoolExecutor(worker_count()) as pool:
        reasons = list(pool.map(_reason, answered))
    return [Mark(float(reason == "match"), None, reason, failed=reason == str(Reason.SANDBOX)) for reason in reasons]


def _reason(pair: tuple[Item, str]) -> str:
    item, response = pair
    problem: Problem = item.gold
    if problem.language == "python":
        code = humaneval.code_of(response, problem.function)
        source = f"{problem.prompt}\n{code}\n\n{problem.tests}\nprint('\\n{DONE}')\n"
    else:
        source = program(problem, response)
    with ProgramRunner(confinement=find_confinement()).written(language_of(problem.language), source) as run:
        fault = run.fault_of_building()
        if fault is not None:
            return fault
        ended = run.ended("")
    if ended.reason is not Reason.OK:
        return str(ended.reason)
    said = ended.stdout.decode(errors="replace").split("\n")
    return "match" if DONE in said else "ended_before_the_tests"


def needs() -> str | None:
    """Isolation, and the tools of eight languages."""
    for language in LANGUAGES:
        try:
            toolchain(language)
        except UserError as error:
            return f"{error.rule}: {error.got}; {error.remedy}"
    return programs.isolation()


TASK = Task(
    title="HumanEval-Mul",
    sources=(SOURCE,),
    licence="MIT",
    metric="pass@1",
    items=items,
    score=score,
    needs=needs,
)
