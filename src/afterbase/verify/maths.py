r"""Maths answers: what is in the last `\boxed{...}` against the right answer.

Where the right answer is a number, the box must hold that number, evaluated: units, `$`, `x =` and the spelling
(1,000 or 007 or \frac{1}{2} or 0.5) do not matter, but 12+34 or 84/4 is the question over again and no answer. This
is exact, and takes microseconds. Any other right answer (a formula, a set, a word) is compared by math-verify, in a
child process that is killed at a hard deadline: its own time-outs are signals, which need the main thread and do not
stop C code.

Does not cover: powers of ten and roots where the right answer is a plain number; rounding (0.333 is not 1/3).
"""

import atexit
import functools
import math
import os
import re
import sys
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from afterbase.core.sample import Status, Verdict
from afterbase.verify.child import Child
from afterbase.verify.extract import last_boxed

VERIFIER = "maths"
MOST_CHARACTERS = 1000
_SECONDS = 5.0

_NOISE = re.compile(r"\\[$%!,;: ]|\\(?:left|right)(?![a-zA-Z])|[$%\s]|\\text\s*\{[^{}]*\}|\^\\circ|\^\{\\circ\}|\.$")
_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_NUMBER = re.compile(rf"(?:[a-zA-Z]=)?([+-]?)(?:({_DECIMAL})|(\d+)/(\d+)|\\[dt]?frac\{{(\d+)\}}\{{(\d+)\}})", re.ASCII)


class Reason(StrEnum):
    """Why an answer is right or wrong, or why nobody can tell (the last)."""

    MATCH = "match"
    MISMATCH = "mismatch"
    NO_BOX = "no_box"
    TOO_LONG = "too_long"
    TIMEOUT = "timeout"
    VERIFIER_ERROR = "verifier_error"


_STATUS = {Reason.MATCH: Status.OK, Reason.VERIFIER_ERROR: Status.FAILED}


def check_maths(*, response: str, answer: str) -> Verdict:
    """Whether the last box of the response is worth as much as `answer`; value is 1 or 0."""
    reason = _reason(last_boxed(response), answer)
    status = _STATUS.get(reason, Status.WRONG)
    return Verdict(verifier=VERIFIER, status=status, value=float(reason is Reason.MATCH), reason=str(reason))


def _reason(box: str | None, answer: str) -> Reason:
    if box is None:
        return Reason.NO_BOX
    if len(box) > MOST_CHARACTERS:
        return Reason.TOO_LONG
    expected, _ = _fraction(answer)
    if expected is None:
        return _compared(box, answer)
    if _plain(box) == _plain(answer):
        return Reason.MATCH
    return Reason.MATCH if number(box) == expected else Reason.MISMATCH


def number(text: str) -> Fraction | None:
    """The exact value of a plain number; None for all else, which includes quotients that are not in lowest terms."""
    value, evaluated = _fraction(text)
    return value if evaluated else None


def _plain(text: str) -> str:
    return _NOISE.sub("", text.replace("{,}", ",").replace("−", "-"))


def _fraction(text: str) -> tuple[Fraction | None, bool]:
    """Value, and whether it is evaluated: a decimal, or a quotient in lowest terms above a denominator of 1."""
    found = _NUMBER.fullmatch(_plain(text)) if len(text) <= MOST_CHARACTERS else None
    if found is None:
        return None, False
    sign, decimal, *quotient = found.groups()
    if decimal is not None:
        value, evaluated = Fraction(decimal.replace(",", "")), True
    else:
        above, below = (int(part) for part in quotient if part is not None)
        if below == 0:
            return None, False
        value, evaluated = Fraction(above, below), below > 1 and math.gcd(above, below) == 1
    return (-value if sign == "-" else value), evaluated


def _compared(box: str, answer: str) -> Reason:
    """math-verify's word. A right answer that it cannot read is its fault; a box that stops it is the box's."""
    child = worker("maths")
    try:
        gold = child.ask({"kind": "gold", "answer": answer}, seconds=_SECONDS)
    except (TimeoutError, ChildProcessError):
        return Reason.VERIFIER_ERROR
    if not gold.get("readable"):
        return Reason.VERIFIER_ERROR
    try:
        compared = child.ask({"kind": "compare", "answer": answer, "box": box}, seconds=_SECONDS)
    except TimeoutError:
        return Reason.TIMEOUT
    except ChildProcessError:
        return Reason.VERIFIER_ERROR
    if "error" in compared:
        return Reason.VERIFIER_ERROR
    return Reason.MATCH if compared["match"] else Reason.MISMATCH


@functools.cache
def worker(kind: str) -> Child:
    """The process-wide child for `maths` or `puzzle`; ended at exit."""
    script = Path(__file__).with_name("worker.py")
    # -P: this folder has a code.py, which must not stand in for the standard library's.
    child = Child([sys.executable, "-P", str(script), kind], environment={**os.environ, "PYTHONHASHSEED": "0"})
    atexit.register(child.close)
    return child
