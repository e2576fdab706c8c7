"""Whether a response has the form that its domain asks for, right or wrong, and what it thinks and finally says."""

import re
from typing import Literal

from afterbase.verify.extract import last_boxed, last_boxed_span, last_python_block
from afterbase.verify.maths import number

Style = Literal["boxed", "python", "plain"]
"""boxed: one box, at the end. python: one complete block. plain: text without a box."""

_OPEN, _CLOSE = "<think>", "</think>"


def well_formed(response: str, *, style: Style) -> bool:
    """Whether the response has the form of its style; the answer itself is not looked at."""
    return _WELL_FORMED[style](response)


def thinks(response: str, *, opened: bool = False) -> bool:
    """Whether it is one chain of thought in `<think>` tags, first of all, and an answer after it.

    `opened`: the prompt ends in `<think>`, so that the response has the closing tag alone.
    """
    thought, closed, answer = response.partition(_CLOSE)
    if not closed or _CLOSE in answer or _OPEN in answer or not answer.strip():
        return False
    return _OPEN not in thought if opened else thought.lstrip().startswith(_OPEN) and thought.count(_OPEN) == 1


def chain_of_thought(response: str) -> str:
    """What stands before the closing tag, without the opening one; all of a response without tags."""
    return response.partition(_CLOSE)[0].partition(_OPEN)[2] or response.partition(_CLOSE)[0]


def final_answer(response: str, *, style: Style) -> str | None:
    """The answer in one spelling, for majority votes: numbers as exact fractions, other boxes with single spaces.

    None if there is no box, and for programs and open answers: no two are ever spelt alike, so a vote says nothing.
    """
    box = last_boxed(response) if style == "boxed" else None
    if box is None:
        return None
    value = number(box)
    return " ".join(box.split()) if value is None else str(value)


def _boxed(response: str) -> bool:
    span = last_boxed_span(response)
    if span is None or response.count("\\boxed") != 1:
        return False
    return re.fullmatch(r"\s*\$?\s*\.?\s*", response[span[1] :]) is not None


def _python(response: str) -> bool:
    return last_python_block(response) is not None and response.count("```") == 2


def _plain(response: str) -> bool:
    return bool(response.strip()) and "\\boxed" not in response


_WELL_FORMED = {"boxed": _boxed, "python": _python, "plain": _plain}
