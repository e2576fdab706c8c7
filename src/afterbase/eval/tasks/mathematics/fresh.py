"""Problems that nobody can have trained on: made anew from families of reasoning-gym, scored by their own rules.

The seed is drawn once for a folder of results and kept there, so that a stopped run continues with the same problems;
`--seed` sets it, for two models that are to be compared.
"""

import hashlib

from afterbase.core.sample import Status
from afterbase.data.problems.puzzle_families import Family, family_problems
from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.task import Answered, Item, Mark, Task
from afterbase.verify.check import check_many
from afterbase.verify.extract import extract

FAMILIES = (
    *("chain_sum", "gsm_symbolic", "simple_equations", "calendar_arithmetic", "basic_arithmetic", "leg_counting"),
    *("knights_knaves", "letter_counting", "spell_backward", "gcd"),
)
EACH = 20


def items(folder: Folder) -> list[Item]:
    """As many problems of each family, in turn: the first few are of all families."""
    groups = []
    for family in FAMILIES:
        config = Family(family=family, train=1, test=EACH, answer_by=["box", "answer_is"])
        _, problems = family_problems(family, config, _hashed_seed(family, folder.seed))
        groups.append(
            [
                Item(
                    id=f"{family}/{folder.seed}/{place}",
                    prompt=problem.prompt,
                    question=problem.prompt,
                    gold=problem,
                    right=problem.gold,
                )
                for place, problem in enumerate(problems)
            ]
        )
    return [item for row in zip(*groups, strict=True) for item in row]


def _hashed_seed(family: str, seed: int) -> int:
    """31 bits: reasoning-gym counts on from its seed, so that neighbouring ones share most problems."""
    return int.from_bytes(hashlib.sha256(f"{family}/{seed}".encode()).digest()[:4], "little") >> 1


def score(answered: Answered) -> list[Mark]:
    marks = []
    verdicts = check_many([(item.gold, response) for item, response in answered])
    for (item, response), verdict in zip(answered, verdicts, strict=True):
        answer = extract(response, item.gold.spec["answer_by"])
        reason = "no_answer" if answer is None else verdict.reason
        marks.append(Mark(verdict.value, answer, reason, failed=verdict.status is Status.FAILED))
    return marks


TASK = Task(
    title="Fresh problems",
    sources=(),
    licence="Apache-2.0 (reasoning-gym)",
    metric="accuracy",
    items=items,
    score=score,
)
