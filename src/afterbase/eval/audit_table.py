"""What `afterbase verify audit FILE --verifier X` counts: right answers that are refused, wrong ones that are accepted.

Right is the table's own answer to a row: a whole response where the table has one; else the answer by itself, in a box,
or as "The answer is ...", whichever the verifier accepts most often. Wrong are the right answer to another row, an
empty response, and the prompt itself.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from afterbase.core.intervals import wilson
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.data.formats.source_table import read_table
from afterbase.data.problems.source_rows import row_problem
from afterbase.eval.tasks.own_table import own_source
from afterbase.verify.check import check, check_many

_TIMED = 20  # calls, one after the other
_FORMS: dict[str, Callable[[str], str]] = {
    "bare": str,
    "box": lambda answer: f"\\boxed{{{answer}}}",
    "sentence": lambda answer: f"The answer is {answer}.",
}

Asked = list[tuple[Problem, str]]


def audit_table(file: Path, verifier: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """What the verifier says of a table's right and wrong answers.

    {name of the file: {verifier, n, form, rejected, false_negative_rate, low, high, first, wrong: {kind: {n, accepted,
    first}}, false_positive_rate, failed: {reason: count}, first_failure, seconds: {median, most}}}, with Wilson's 95 %
    interval of the share of right answers that are refused. Rates are None where nothing was judged. UserError where
    the table or the verifier cannot be used.
    """
    source = own_source(str(file), verifier, columns)
    rows = read_table(source.path, split=source.split, columns=source.named_columns())
    problems = [row_problem("own", source, row) for row in rows]
    form, right, verdicts = _right(problems)
    judged = [(asked, v) for asked, v in zip(right, verdicts, strict=True) if v.status is not Status.FAILED]
    rejected = [(asked, v) for asked, v in judged if v.status is Status.WRONG]
    interval = wilson(len(rejected), len(judged)) if judged else None
    kinds = _wrong(problems, right)
    wrong = {kind: check_many(asked) for kind, asked in kinds.items()}
    of_wrong = [v for said in wrong.values() for v in said if v.status is not Status.FAILED]
    failed = [v for v in [*verdicts, *(v for said in wrong.values() for v in said)] if v.status is Status.FAILED]
    return {
        file.name.split(".")[0]: {
            "verifier": source.own.shown if source.own is not None else verifier,
            "n": len(judged),
            "form": form,
            "rejected": len(rejected),
            "false_negative_rate": len(rejected) / len(judged) if judged else None,
            "low": None if interval is None else interval.low,
            "high": None if interval is None else interval.high,
            "first": _shown(rejected),
            "wrong": {kind: _counted(kinds[kind], said) for kind, said in wrong.items()},
            "false_positive_rate": sum(v.status is Status.OK for v in of_wrong) / len(of_wrong) if of_wrong else None,
            "failed": dict(Counter(v.reason for v in failed).most_common()),
            "first_failure": f"{failed[0].reason}: {failed[0].detail}" if failed else None,
            "seconds": _seconds([*right, *kinds["empty"]][:_TIMED]),
        }
    }


def _right(problems: Sequence[Problem]) -> tuple[str | None, Asked, list[Verdict]]:
    """The form of right answers that is accepted most often, the answers in it, and the verdicts on them."""
    whole = [(p, p.gold) for p in problems if p.gold is not None]
    if whole:
        return "response", whole, check_many(whole)
    answers = [(p, str(p.spec["answer"])) for p in problems if p.spec.get("answer") is not None]
    if not answers:
        return None, [], []
    best: tuple[str, Asked, list[Verdict]] | None = None
    for form, write in _FORMS.items():
        asked = [(problem, write(answer)) for problem, answer in answers]
        said = check_many(asked)
        if best is None or _accepted(said) > _accepted(best[2]):
            best = form, asked, said
    assert best is not None
    return best


def _wrong(problems: Sequence[Problem], right: Asked) -> dict[str, Asked]:
    """Responses that answer nothing, or another row; a row whose answer all others share has no other."""
    others: Asked = []
    for place, (problem, gold) in enumerate(right):
        around = (right[(place + step) % len(right)][1] for step in range(1, len(right)))
        other = next((text for text in around if text.casefold() != gold.casefold()), None)
        if other is not None:
            others.append((problem, other))
    return {
        "another row's answer": others,
        "empty": [(problem, "") for problem in problems],
        "the prompt itself": [(problem, problem.prompt) for problem in problems],
    }


def _counted(asked: Asked, said: Sequence[Verdict]) -> dict[str, Any]:
    accepted = [pair for pair in zip(asked, said, strict=True) if pair[1].status is Status.OK]
    return {"n": len(said), "accepted": len(accepted), "first": _shown(accepted)}


def _accepted(said: Sequence[Verdict]) -> int:
    return sum(verdict.status is Status.OK for verdict in said)


def _shown(found: Sequence[tuple[tuple[Problem, str], Verdict]]) -> str | None:
    if not found:
        return None
    (problem, response), verdict = found[0]
    row = problem.spec["source"]["row"]
    return f"{row}: {verdict.reason} for `{response[:200]}` on `{problem.prompt[:200]}`"


def _seconds(asked: Asked) -> dict[str, float] | None:
    """How long a call takes, one after the other, once the verifier is warm."""
    spent = []
    for problem, response in asked:
        started = time.perf_counter()
        check(problem, response)
        spent.append(time.perf_counter() - started)
    return {"median": round(statistics.median(spent), 6), "most": round(max(spent), 6)} if spent else None
