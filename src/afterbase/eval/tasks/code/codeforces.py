"""Codeforces: the percentile that a model's programs would reach among the competitors of each contest.

The report gives the percentage of competitors that are beaten, and no more. Problems, their tests and the contests'
standings come from the user; a contest's score is the sum of the points of the problems solved, and competitors with
the same score count half. Time as penalty, hacks and further attempts are not covered.
"""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from afterbase.core.errors import UserError
from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.code.tested_programs import isolation, last_program, marks
from afterbase.eval.tasks.task import Answered, Item, Mark, Task
from afterbase.sandbox import Case, Program

PROBLEMS = Source(
    file="codeforces.jsonl",
    otherwise="rows {contest, index, statement, points, tests: [{input, output}]}, from problems that you may use",
)
STANDINGS = Source(
    file="codeforces_standings.jsonl",
    otherwise="rows {contest, scores: [...]}, the score of every competitor in the unit of `points`",
)
_PROMPT = """Solve this problem of a programming contest. Think it through step by step first, then write the whole \
program in one ```cpp or ```python block. It reads from standard input and prints its answer.

{statement}"""


class Test(BaseModel):
    input: str
    output: str


class Problem(BaseModel):
    """One problem of a contest, with what it is worth."""

    contest: int | str
    index: str
    statement: str
    points: float = Field(default=1, gt=0)
    tests: list[Test] = Field(min_length=1)


class Standing(BaseModel):
    """The final scores of all who took part in a contest."""

    contest: int | str
    scores: list[float] = Field(min_length=1)


def items(folder: Folder) -> list[Item]:
    scores = {str(row.contest): tuple(row.scores) for row in folder.rows(STANDINGS, Standing)}
    made = []
    for row in folder.rows(PROBLEMS, Problem):
        contest = str(row.contest)
        if contest not in scores:
            raise UserError(
                "every contest has its standings",
                got=f"none of contest {contest}",
                remedy=f"add it to {STANDINGS.file}",
            )
        cases = tuple(Case(test.input, test.output) for test in row.tests)
        prompt = _PROMPT.format(statement=row.statement.strip())
        gold = (row.points, scores[contest], cases)
        made.append(
            Item(id=f"{contest}{row.index}", prompt=prompt, question=row.statement.strip(), gold=gold, cluster=contest)
        )
    return made


def score(answered: Answered) -> list[Mark]:
    programs = []
    for item, response in answered:
        language, text = last_program(response, default="cpp", languages=("cpp", "python"))
        programs.append(Program(language, text, item.gold[2]))
    return marks(programs)


def percentile(contest: str, marks: Sequence[tuple[Item, Mark]]) -> float:
    """The share of competitors with a lower score, those with the same one by half."""
    reached = sum(item.gold[0] for item, mark in marks if mark.value == 1)
    scores = marks[0][0].gold[1]
    return (sum(s < reached for s in scores) + 0.5 * sum(s == reached for s in scores)) / len(scores)


TASK = Task(
    title="Codeforces",
    sources=(PROBLEMS, STANDINGS),
    licence="the user's",
    metric="percentile",
    items=items,
    score=score,
    needs=isolation,
    collect=percentile,
)
