"""Where the answer is in a response: the last box, "the answer is", the last number; the last block of code."""

import re
from collections.abc import Sequence
from typing import Literal

Way = Literal["box", "answer_is", "last_number", "all"]
"""box: the last `\\boxed{...}`. answer_is: what follows the last "answer is" or "answer:", to the end of the sentence.
last_number: the last number in digits, its sign included. all: the whole response."""

_ANSWER_IS = re.compile(r"answer(?:\s+is)?\s*(?::|\bis\b|=)\s*", re.IGNORECASE)
_SENTENCE = re.compile(r"(?:\.(?=\d)|[^.\n])*")
# A minus subtracts after a letter, and after a number or a closing bracket and a space; elsewhere it is a sign.
_NUMBER = re.compile(r"(?:(?<![\w)\]}])(?<![\d)\]}]\s)[-−])?\d+(?:,\d{3})*(?:\.\d+)?")
_HERE_DOCUMENT = re.compile(r"<<[-<]?[ \t]*['\"]?([A-Za-z_]\w*)")


def extract(response: str, ways: Sequence[Way]) -> str | None:
    """The answer by the first of the ways that finds one."""
    for way in ways:
        found = _FIND[way](response)
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
    """The text of the last closed ```python block; None if there is none."""
    return _last_fenced(response, ["python"])


def last_block(response: str, tags: Sequence[str]) -> str | None:
    """The text of the last closed block that bears one of the tags; None if there is none.

    A response that is one block and nothing else may leave the tag out. A program that holds a block in a text or a
    comment of its own has none.
    """
    block = _last_fenced(response, tags)
    if block is not None:
        return block
    alone = re.fullmatch(r"\s*```[ \t]*\r?\n(.*?)^[ \t]*```\s*", response, re.DOTALL | re.MULTILINE)
    return alone.group(1) if alone else None


def _last_fenced(response: str, tags: Sequence[str]) -> str | None:
    """Line by line, in linear time: one pattern for a whole block starts over at each of a million opening lines."""
    names = "|".join(map(re.escape, tags))
    start, block = None, None
    for fence in re.finditer(rf"^[ \t]*```({names})?[ \t]*\r?$", response, re.MULTILINE | re.IGNORECASE):
        if start is None and fence.group(1):
            if block is None and _inside_a_text(response, fence.start(), fence.end()):
                return None
            start = fence.end() + 1
        elif start is not None and not fence.group(1):
            block, start = response[start : fence.start()], None
    return block


def _inside_a_text(program: str, start: int, end: int) -> bool:
    """Whether a span lies in a string of three quotes, in a comment of C's kind, or in a here-document."""
    before = program[:start]
    if any(before.count(quotes) % 2 for quotes in ('"""', "'''")) or before.rfind("/*") > before.rfind("*/"):
        return True
    documents = _HERE_DOCUMENT.findall(before)
    last = rf"^[ \t]*{documents[-1]}\b" if documents else r"(?!)"
    return not re.search(last, before, re.MULTILINE) and re.search(last, program[end:], re.MULTILINE) is not None


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
