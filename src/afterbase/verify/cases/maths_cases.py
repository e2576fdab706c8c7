"""Files of pairs of answers with the verdict that is expected: how often ours agrees, and where not.

Kinds, with their options: `extract_and_compare` finds the answers in prose as math-verify does (`match_types`,
`strict`, `float_rounding`, `allow_set_relation_comp`), `string_equiv_hendrycks` is equality by the rules of MATH,
`answer_only_equiv` compares two bare answers, as rewards do.
"""

import contextlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from afterbase.core.rows import read_rows
from afterbase.core.sample import Status
from afterbase.sandbox import Fault, ForkLimits, ForkServer, fork_pool
from afterbase.verify.mathematics.string_rules import equal
from afterbase.verify.maths import WORK, Item, check_maths_many

# math-verify's own deadline is 5 s for each of its steps.
_LIMITS = ForkLimits(cpu_seconds=30, wall_seconds=60.0, memory_bytes=2 << 30)


class Case(BaseModel):
    """One pair; `expected` is what should be said of it."""

    kind: Literal["extract_and_compare", "string_equiv_hendrycks", "answer_only_equiv"] = "answer_only_equiv"
    gold: str
    pred: str
    expected: bool
    match_types: list[Literal["latex", "expr", "string"]] = Field(default=["latex", "expr"], min_length=1)
    strict: bool = True
    float_rounding: int = 6
    allow_set_relation_comp: bool = False


def agreement(path: Path) -> dict[str, Any]:
    """{n, agree, disagree: [{line, kind, gold, pred, expected, got, reason}]}; `line` counts the cases from 1."""
    cases = read_rows(path, Case)
    judged = judge(cases)
    disagree = [
        {"line": i, **case.model_dump(include={"kind", "gold", "pred", "expected"}), "got": got, "reason": reason}
        for i, (case, (got, reason)) in enumerate(zip(cases, judged, strict=True), start=1)
        if got != case.expected
    ]
    return {"n": len(cases), "agree": len(cases) - len(disagree), "disagree": disagree}


def judge(cases: list[Case]) -> list[tuple[bool | None, str]]:
    """Verdict and reason of each case, in order; None where the verifier failed."""
    out: list[tuple[bool | None, str]] = [(None, "")] * len(cases)
    prose = [i for i, case in enumerate(cases) if case.kind == "extract_and_compare"]
    bare = [i for i, case in enumerate(cases) if case.kind == "answer_only_equiv"]
    for i, said in zip(prose, fork_pool(WORK).each(_compared, [cases[i] for i in prose]), strict=True):
        out[i] = said
    items = [Item(cases[i].pred, cases[i].gold, ("all",), evaluated=False) for i in bare]
    for i, verdict in zip(bare, check_maths_many(items), strict=True):
        out[i] = (None if verdict.status is Status.FAILED else verdict.status is Status.OK, verdict.reason)
    for i, case in enumerate(cases):
        if case.kind == "string_equiv_hendrycks":
            out[i] = (equal(case.gold, case.pred), "string rules")
    return out


def _compared(server: ForkServer, case: Case) -> tuple[bool | None, str]:
    request = {**case.model_dump(exclude={"kind", "expected"}), "kind": "texts"}
    for _ in range(2):
        with contextlib.suppress(ChildProcessError), server.serving() as forks:
            ended = forks.run(request, _LIMITS)
            if ended.fault is None:
                said = json.loads(ended.report)
                return (None, f"verifier_error: {said['error']}") if "error" in said else (said["match"], "math-verify")
            if ended.fault is not Fault.SANDBOX:
                return False, str(ended.fault)
    return None, "verifier_error"
