"""A score in a fork: what it reports, what its end means, and that our own fault is tried once more."""

import pytest

from afterbase.core.sample import Status
from afterbase.sandbox import Fault, ForkLimits
from afterbase.sandbox.forks.fork_client import ForkEnd
from afterbase.verify.forked_scores import Reason, scored


class Ends:
    """Runs that end as they are told to, one after the other."""

    def __init__(self, *ends):
        self.left = list(ends)

    def run(self, request, limits):
        return self.left.pop(0)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([ForkEnd(None, b'{"score": 1.0}')], ({"score": 1.0}, None)),
        ([ForkEnd(Fault.CRASH, b"")], ({}, None)),
        ([ForkEnd(Fault.TIMEOUT, b"")], ({}, Reason.TIMEOUT)),
        ([ForkEnd(Fault.SANDBOX, b""), ForkEnd(None, b"{}")], ({}, None)),
        ([ForkEnd(Fault.SANDBOX, b""), ForkEnd(Fault.SANDBOX, b"")], ({}, Reason.VERIFIER_ERROR)),
    ],
)
def test_an_end_is_a_report_or_a_reason(ends, expected):
    runs = Ends(*ends)
    assert scored(runs, {}, ForkLimits()) == expected  # type: ignore[arg-type]
    assert runs.left == []


def test_a_reason_is_a_verdict():
    verdicts = [reason.verdict("maths") for reason in Reason]
    assert [v.value for v in verdicts] == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert [v.status for v in verdicts] == [Status.OK, *[Status.WRONG] * 4, Status.FAILED]
