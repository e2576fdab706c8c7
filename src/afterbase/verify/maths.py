r"""Maths answers: what a response finally says, against the right answer.

What can be decided exactly is (exact.py), in microseconds and in this process, since nothing of the text is evaluated.
The rest is compared in a fork of its own for each answer (`fork_server.py`): identities of functions to many digits
(`identity.py`), what our grammar does not reach (integrals, sums over an index) by math-verify. The fork is
killed at a hard deadline: math-verify's own time-outs are signals, which need the main thread and do not stop C code.

`evaluated` is for problems that ask for a number to be computed: where the right answer is a number, the response must
give that number, evaluated; units, `$`, `x =` and the spelling (1,000 or 007 or \frac{1}{2} or 0.5) do not matter, but
12+34 or 84/4 is the question over again and no answer, and 0.333 is not 1/3.
"""

import contextlib
import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from afterbase.core.sample import Verdict
from afterbase.sandbox import Fault, ForkLimits, ForkServer, Server, Work, fork_pool
from afterbase.verify import third_party_scorers
from afterbase.verify.extract import Way, extract
from afterbase.verify.forked_scores import Reason, scored
from afterbase.verify.mathematics.equivalence import same
from afterbase.verify.mathematics.numerals import Numeral, equal, numeral
from afterbase.verify.mathematics.quantities import KNOWN
from afterbase.verify.mathematics.spelling import normal, respelled, spelled

VERIFIER = "maths"
MOST_CHARACTERS = 1000
WORK = Work(third_party_scorers.__name__, ("math_verify", "sympy"), kind="maths")
_BOX = ForkLimits(cpu_seconds=5, wall_seconds=10.0, memory_bytes=2 << 30)
_GOLD = ForkLimits(cpu_seconds=60, wall_seconds=120.0, memory_bytes=2 << 30)


class Item(NamedTuple):
    """A response, the right answer, where the response's answer is, and whether it has to be evaluated."""

    response: str
    answer: str
    answer_by: Sequence[Way] = ("box",)
    evaluated: bool = True


def check_maths_many(items: Sequence[Item]) -> list[Verdict]:
    """Whether what each response answers is worth as much as the right answer, value 1 or 0.

    What takes math-verify is asked once for equal pairs, several at a time.
    """
    given = [extract(item.response, item.answer_by) for item in items]
    reasons = [_at_once(found, item) for found, item in zip(given, items, strict=True)]
    pairs = [(item.answer, found or "") for found, item in zip(given, items, strict=True)]
    slow = dict.fromkeys(pair for pair, reason in zip(pairs, reasons, strict=True) if reason is None)
    boxes: dict[str, list[str]] = defaultdict(list)
    for answer, box in slow:
        boxes[answer].append(box)
    judged = fork_pool(WORK).each(_judged, list(boxes.items())) if boxes else []
    compared = {
        (answer, box): reason
        for (answer, asked), reasons in zip(boxes.items(), judged, strict=True)
        for box, reason in zip(asked, reasons, strict=True)
    }
    decided = [compared[pair] if reason is None else reason for pair, reason in zip(pairs, reasons, strict=True)]
    return [reason.verdict(VERIFIER) for reason in decided]


def _at_once(found: str | None, item: Item) -> Reason | None:
    """The verdict that needs no child, if there is one."""
    if found is None:
        return Reason.NO_BOX
    if len(found) > MOST_CHARACTERS:
        return Reason.TOO_LONG
    is_number = item.evaluated and ":" not in item.answer and len(item.answer) <= MOST_CHARACTERS
    expected = numeral(item.answer) if is_number else None
    matches = _same(item.answer, found) if expected is None else _evaluates(found, item.answer, expected)
    return None if matches is None else Reason.MATCH if matches else Reason.MISMATCH


_same = functools.lru_cache(maxsize=65_536)(same)


def number(text: str) -> Fraction | None:
    """The exact value of a plain number; None for all else, which includes quotients that are not in lowest terms."""
    said = numeral(text) if len(text) <= MOST_CHARACTERS else None
    return said.value if said is not None and said.evaluated else None


def _evaluates(found: str, answer: str, expected: Numeral) -> bool | None:
    """Whether it is that number; degrees may be given in radians, as a multiple of pi."""
    if normal(spelled(found)) == normal(spelled(answer)):
        return True
    said = numeral(found, expected.unit)
    if said is None and expected.unit == KNOWN["degree"] and r"\pi" in spelled(found):
        return _same(answer, found)
    return said is not None and said.evaluated and equal(expected, said)


def _judged(server: ForkServer, asked: tuple[str, Sequence[str]]) -> list[Reason]:
    """math-verify's word on boxes that are to be worth one right answer, which is read once.

    A right answer that it cannot read is its fault; a box that stops it is the box's.
    """
    answer, boxes = asked
    out: list[Reason] = []
    for _ in range(2):  # a server that dies is replaced, and what it left is tried once more
        with contextlib.suppress(ChildProcessError), server.serving() as forks:
            with forks.holding({"kind": "gold", "answer": respelled(answer)}, _GOLD) as holder:
                told = holder.told
                if told.fault is None and json.loads(told.report).get("readable"):
                    while len(out) < len(boxes):
                        out.append(_compared(holder, answer, boxes[len(out)]))
            if told.fault is not Fault.SANDBOX:
                break
    return [*out, *[Reason.VERIFIER_ERROR] * (len(boxes) - len(out))]


def _compared(holder: Server, answer: str, box: str) -> Reason:
    told, unknown = scored(holder, {"kind": "compare", "box": respelled(box), "texts": [answer, box]}, _BOX)
    return unknown or (Reason.MATCH if told.get("match") else Reason.MISMATCH)
