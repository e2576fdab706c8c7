"""Where the answer is in a response: the last box, "the answer is", the last number; the last block of code.

A thought is no part of it (`core/reasoning.py`): one that never ends has no answer.
"""

import re
from collections.abc import Sequence
from typing import Literal

from afterbase.core.reasoning import answer_of
from afterbase.verify.blocks import programs

Way = Literal["box", "answer_is", "last_number", "all"]
"""box: the last `\\boxed{...}`. answer_is: what follows the last "answer is" or "answer:", to the end of the sentence.
last_number: the last number in digits, its sign included. all: the whole response."""

_ANSWER_IS = re.compile(r"answer(?:\s+is)?\s*(?::|\bis\b|=)\s*", re.IGNORECASE)
_SENTENCE = re.compile(r"(?:\.(?=\d)|[^.\n])*")
# A minus subtracts after a letter, and after a number or a closing bracket and a space; elsewhere it is a sign.
_NUMBER = re.compile(r"(?:(?<![\w)\]}])(?<![\d)\]}]\s)[-−])?\d+(?:,\d{3})*(?:\.\d+)?")


def extract(response: str, ways: Sequence[Way]) -> str | None:
    """The answer by the first of the ways that finds one."""
    answer = answer_of(response)
    for way in ways if answer is not None else ():
        found = _FIND[way](answer)
        if found is not None:
            return found
    return None


def last_boxed(response: str) -> str | None:
    r"""What stands in the last `\boxed{...}`; None without one, or if its braces (bar `\{`) do not balance."""
    span = last_boxed_span(response)
    return None if span is None else response[span[0] + len("\\boxed{") : span[1] - 1]


def last_boxed_span(response: str) -> tuple[int, int] | None:
    """Start and end of the last box as a whole."""
    start = response.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", response[start + 1 :], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0 and brace.group() == "}":
            return start, start + 1 + brace.end()
    return None


def last_python_block(response: str) -> str | None:
    """The text of the block that is the Python program (`verify/blocks.py`); None if there is none."""
    return last_block(response, ("python", "py", "python3"))


def last_block(response: str, tags: Sequence[str]) -> str | None:
    """The text of the block that is the program in the language of the tags (`verify/blocks.py`), else None."""
    found = programs(response, tags)
    return found[-1] if found else None


def after_answer_is(response: str) -> str | None:
    """What the response calls its answer, without the full stop, and without the dollars that quote mathematics."""
    said = list(_ANSWER_IS.finditer(response))
    if not said:
        return None
    sentence = _SENTENCE.match(response, said[-1].end())
    return (sentence.group() if sentence else "").strip().strip("$*").strip() or None


def last_number(response: str) -> str | None:
    """The last number in digits, as it is written, with a plain minus."""
    numbers = _NUMBER.findall(response)
    return numbers[-1].replace("−", "-") if numbers else None


_FIND = {"box": last_boxed, "answer_is": after_answer_is, "last_number": last_number, "all": str.strip}
