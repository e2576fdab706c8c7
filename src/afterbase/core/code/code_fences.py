"""Fenced blocks of code in Markdown, by the rules of CommonMark 0.31 (section 4.5).

A fence is three or more backticks or tildes, alone in its line but for an info string. Only a fence of the same kind,
at least as long and without an info string, closes it; so four backticks hold three. A block that nothing closes goes
to the end of the text. Fences stand in lists and quotations too: what their own line has before them is taken off the
lines of the block. Unlike CommonMark, an opening fence may be indented as far as it likes, since a model's lists often
are not where Markdown wants them.
"""

import re
from typing import NamedTuple

_TAB = 4
# One way to read each line, so that no line takes more than linear time; `info` is looked at and not consumed.
FENCE = (
    r"(?P<lead>(?:[ \t]*+(?:>|(?:[-*+]|\d{1,9}[.)])(?=[ \t])))*+[ \t]*+)(?P<fence>`{3,}+|~{3,}+)"
    r"(?=(?P<info>[^\n]*+)$)"
)
_FENCE = re.compile(f"^{FENCE}", re.MULTILINE)
_QUOTATION = re.compile(r"[ \t]{0,3}>")
_TAG = re.compile(r"[\s{.]*([^\s,;:{}()=\[\]\"']+)")
_RELEASE = re.compile(r"[-_]?\d[\d.]*$")


class Block(NamedTuple):
    """One block: the info string, the text between the fences, whether there is a closing one, and the block's span."""

    info: str
    text: str
    closed: bool
    start: int
    end: int

    @property
    def tag(self) -> str:
        """The info string's first word in small letters, as in `python title="x"` and `{.python}`; "" without one."""
        found = _TAG.match(self.info)
        return found[1].lower() if found else ""

    def is_in(self, spellings: tuple[str, ...]) -> bool:
        """Whether the tag is one of the spellings of a language, a release behind it (`c++17`) aside."""
        return self.tag in spellings or _RELEASE.sub("", self.tag) in spellings


def fenced(text: str) -> list[Block]:
    """The blocks of a text in their order, in linear time; a block inside another one is a part of its text."""
    blocks, opened = [], None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence if opens(fence) else None
        elif closes(fence, opened):
            blocks.append(_block(text, opened, fence.start(), fence.end("info"), closed=True))
            opened = None
    if opened is not None:
        blocks.append(_block(text, opened, len(text), len(text), closed=False))
    return blocks


def opens(fence: re.Match[str]) -> bool:
    """Whether a match of `FENCE` may open a block: an info string behind backticks has none of its own."""
    return fence["fence"][0] == "~" or "`" not in fence["info"]


def closes(fence: re.Match[str], opened: re.Match[str]) -> bool:
    """Whether a match of `FENCE` closes the block that another one opened."""
    kind, mark = fence["fence"], opened["fence"]
    if kind[0] != mark[0] or len(kind) < len(mark) or fence["info"].strip():
        return False
    indent = fence["lead"].replace(">", " ")
    return not indent.strip() and _columns(indent) <= _columns(opened["lead"]) + 3


def _block(text: str, opened: re.Match[str], end: int, after: int, *, closed: bool) -> Block:
    inside = text[opened.end("info") + 1 : end]
    lead = opened["lead"]
    if lead:
        inside = "".join(_without_lead(line, lead) for line in inside.splitlines(keepends=True))
    return Block(opened["info"].strip(), inside, closed, opened.start(), after)


def _without_lead(line: str, lead: str) -> str:
    """A line without the quotation marks and the indentation of its block's fence, as far as it has them."""
    for _ in range(lead.count(">")):
        mark = _QUOTATION.match(line)
        if mark is None:
            break
        line = line[mark.end() :]
    left = _columns(lead.rpartition(">")[2])
    at = 0
    while at < len(line) and line[at] in " \t" and left > 0:
        left -= _TAB if line[at] == "\t" else 1
        at += 1
    return line[at:]


def _columns(lead: str) -> int:
    return sum(_TAB if character == "\t" else 1 for character in lead)
