"""Whether a response has the form that its domain asks for, right or wrong, and its thought and answer."""

import re
from typing import Literal

from afterbase.core.code.code_fences import fenced
from afterbase.core.reasoning import CLOSE, OPEN, answer_of, part
from afterbase.verify.extract import last_boxed, last_boxed_span
from afterbase.verify.maths import number

Style = Literal["boxed", "python", "plain"]
"""boxed: one box, at the end. python: one complete block. plain: text without a box."""


def well_formed(response: str, *, style: Style) -> bool:
    """Whether the answer, without its thought, has the form of its style; what it says is not looked at."""
    answer = answer_of(response)
    return answer is not None and _WELL_FORMED[style](answer)


def thinks(response: str, *, opened: bool = False) -> bool:
    """Whether it is one chain of thought in `<think>` tags, first of all, and an answer after it.

    `opened`: the prompt ends in `<think>`, so that the response has the closing tag alone.
    """
    thought, closed, answer = response.partition(CLOSE)
    if not closed or CLOSE in answer or OPEN in answer or not answer.strip():
        return False
    return OPEN not in thought if opened else thought.lstrip().startswith(OPEN) and thought.count(OPEN) == 1


def chain_of_thought(response: str) -> str:
    """The thought without its tags; all of a response without any."""
    split_response = part(response)
    return split_response.answer or "" if split_response.thought is None else split_response.thought


def final_answer(response: str, *, style: Style) -> str | None:
    """The answer in one spelling, for majority votes: numbers as exact fractions, other boxes with single spaces.

    None if there is no box after the thought, and for programs and open answers: no two are ever spelt alike, so a
    vote says nothing.
    """
    answer = answer_of(response)
    box = last_boxed(answer) if style == "boxed" and answer is not None else None
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
    blocks = fenced(response)
    return len(blocks) == 1 and blocks[0].closed and blocks[0].is_in(("python",))


def _plain(response: str) -> bool:
    return bool(response.strip()) and "\\boxed" not in response


_WELL_FORMED = {"boxed": _boxed, "python": _python, "plain": _plain}
