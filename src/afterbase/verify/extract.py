r"""Where the answer is in a response: the last box, "the answer is", the last number; the last block of code.

A box is `\boxed` or `\fbox`, with braces or, as TeX allows, without; one with nothing in it is none where another says
something. What the response calls its answer is named in English or Chinese, or stands below a heading that says so.

A thought is no part of it (`core/reasoning.py`): one that never ends has no answer.
"""

import re
from collections.abc import Sequence
from typing import Literal

from afterbase.core.reasoning import answer_of

Way = Literal["box", "answer_is", "last_number", "all"]
"""box: the last `\\boxed{...}`. answer_is: what follows the last "answer is", "answer:" or 答案是, to the end of the
sentence or to the word that gives the reason. last_number: the last number in digits, its sign included. all: the whole
response."""
WITHOUT_MARK = frozenset({"last_number", "all"})
"""The ways that take what happens to stand last: of a response that was cut off they find nothing."""

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*+")
_WITHOUT_BRACES = re.compile(
    r"[^\s${}](?:[^\n${}\\]|\\[^()\[\]]|\{[^{}\n]*\})*?(?=\s*(?:\$|\\[)\]]|\n|[.,;:!?]?(?:\s+[a-zA-Z]{2}|\s*\Z)))"
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_MOST_EMPTY = 8  # boxes without anything, behind the one that counts
_MOST_BARE = 200  # characters
_ANSWER_IS = re.compile(
    r"answer(?:\s+is)?\s*(?::|\bis\b|=)\s*"
    r"|(?m:^)[#*_ \t]*(?:(?:the|my|final|correct)[ \t]+){0,3}answer[#*_ \t]*\n\s*"
    r"|答案(?:应该|应当|应|即|就|只能)?(?:(?:等于|[是为:：=])\s*)+",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?:\.(?=\d)|[^.。；\n])*")
_REASON = re.compile(
    r"(?<![\s,;(])[\s,;(]++because\b|(?<!\s)\s*+[,;(]\s*+(?:since|as)\b"
    r"|(?:[，,]|(?<!\s))\s*+[(（]?(?:因为|由于|因此|所以)",  # whole runs alone: linear in time
    re.IGNORECASE,
)
_NOT_BUT = re.compile(r"\Anot\s[^\n]{1,80}?\sbut\s+(?:rather\s+)?", re.IGNORECASE)
_QUOTES = "\"'“”‘’「」"
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
    return None if span is None else _inside(response[slice(*span)])


def last_boxed_span(response: str) -> tuple[int, int] | None:
    """Start and end of the last box as a whole, of those that hold something, if one does."""
    boxes = [found.start() for found in _BOX.finditer(response)]
    last = None
    for start in reversed(boxes[-_MOST_EMPTY:]):
        end = _end(response, start)
        if end is None:
            return last
        if _inside(response[start:end]).strip():
            return start, end
        last = last or (start, end)
    return last


def _end(response: str, start: int) -> int | None:
    """Where the box that starts there ends; None where it never does."""
    opened = _BOX.match(response, start)
    assert opened is not None
    if not response.startswith("{", opened.end()):
        bare = _WITHOUT_BRACES.match(response, opened.end(), opened.end() + _MOST_BARE)
        return None if bare is None else bare.end()
    depth = 0
    for brace in _BRACE.finditer(response, opened.end()):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0 and brace.group() == "}":
            return brace.end()
    return None


def _inside(box: str) -> str:
    inside = _BOX.sub("", box, count=1)
    return inside[1:-1] if inside.startswith("{") else inside


def after_answer_is(response: str) -> str | None:
    """What the response calls its answer, without the full stop, and without the dollars that quote mathematics."""
    said = list(_ANSWER_IS.finditer(response))
    if not said:
        return None
    sentence = _SENTENCE.match(response, said[-1].end())
    words = sentence.group().strip() if sentence else ""
    reason = _REASON.search(words)
    if reason is not None and reason.start() > 0:
        words = words[: reason.start()]
    return _NOT_BUT.sub("", words, count=1).strip().strip("$*").strip().strip(_QUOTES).strip() or None


def last_number(response: str) -> str | None:
    """The last number in digits, as it is written, with a plain minus."""
    numbers = _NUMBER.findall(response)
    return numbers[-1].replace("−", "-") if numbers else None


_FIND = {"box": last_boxed, "answer_is": after_answer_is, "last_number": last_number, "all": str.strip}
