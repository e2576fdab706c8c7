"""What `maths.py` and `puzzle.py` share: one answer is scored in a fork, and the score is a verdict with its reason."""

import json
from enum import StrEnum
from typing import Any

from afterbase.core.sample import Status, Verdict
from afterbase.sandbox import Fault, ForkLimits, Server


class Reason(StrEnum):
    """Why an answer is right or wrong, or why nobody can tell (the last)."""

    MATCH = "match"
    MISMATCH = "mismatch"
    NO_BOX = "no_box"
    TOO_LONG = "too_long"
    TIMEOUT = "timeout"
    VERIFIER_ERROR = "verifier_error"

    def verdict(self, verifier: str) -> Verdict:
        status = {Reason.MATCH: Status.OK, Reason.VERIFIER_ERROR: Status.FAILED}.get(self, Status.WRONG)
        return Verdict(verifier=verifier, status=status, value=float(self is Reason.MATCH), reason=str(self))


def scored(holder: Server, request: dict[str, Any], limits: ForkLimits) -> tuple[dict[str, Any], Reason | None]:
    """A fork's report, empty where the answer made it crash, or why there is none. Our own fault is tried twice."""
    ended = holder.run(request, limits)
    if ended.fault is Fault.SANDBOX:
        ended = holder.run(request, limits)
    faults = {Fault.TIMEOUT: Reason.TIMEOUT, Fault.SANDBOX: Reason.VERIFIER_ERROR}
    if ended.fault is not None:
        return {}, faults.get(ended.fault)
    return json.loads(ended.report), None
