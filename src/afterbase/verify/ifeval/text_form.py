"""Instructions on what can be seen in the text's form: lists, sections, marks, JSON, fixed answers.

The reference finds these with regular expressions, some of which take a time that grows with the square of a hostile
text. Where that is so, lines are gone through here instead; the verdicts are the same.
"""

import json
import re

from afterbase.verify.ifeval.instruction import Count, Instruction, Pattern

_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCES = ("```json", "```Json", "```JSON", "```")
_SINGLE = re.compile(r"\*[^\n*]*\*")
_DOUBLE = re.compile(r"\*\*[^\n*]*\*\*")


class NumberBulletLists(Instruction):
    """Exactly so many lines that begin with `*` (and not `**`) or `-`."""

    num_bullets: Count

    def followed(self, text: str) -> bool:
        lines = text.split("\n")
        dashes = sum(1 for line in lines if line.lstrip().startswith("-"))
        return _stars(lines) + dashes == self.num_bullets


def _stars(lines: list[str]) -> int:
    count = 0
    taken = False  # a bare `*` at the end of a line takes the next line with it, which is then no bullet of its own
    for i, line in enumerate(lines):
        if taken:
            taken = False
            continue
        bullet = line.lstrip()
        if bullet == "*":
            taken = i + 1 < len(lines)
            count += taken
        elif bullet.startswith("*") and bullet[1] != "*":
            count += 1
    return count


class NumberHighlightedSections(Instruction):
    """At least so many of *this* or **this**, each on one line; ***this*** is both."""

    num_highlights: Count

    def followed(self, text: str) -> bool:
        marked = [*_SINGLE.findall(text), *_DOUBLE.findall(text)]
        return sum(1 for mark in marked if mark.strip("*").strip()) >= self.num_highlights


class MultipleSections(Instruction):
    """At least so many sections, each begun by the mark and a number."""

    section_spliter: Pattern  # the spelling of IFEval's data
    num_sections: Count

    def followed(self, text: str) -> bool:
        parts = re.split(rf"\s?{self.section_spliter.strip()}\s?\d+\s?", text)
        return len(parts) - 1 >= self.num_sections


class JsonFormat(Instruction):
    """The whole is JSON, in a fence or not."""

    def followed(self, text: str) -> bool:
        text = text.strip()
        for fence in _FENCES:
            text = text.removeprefix(fence)
        try:
            json.loads(text.removesuffix("```").strip())
        except (ValueError, RecursionError):  # the latter: nested by the thousand
            return False
        return True


class Title(Instruction):
    """A title in <<double angular brackets>> on some line."""

    def followed(self, text: str) -> bool:
        return any(_has_title(line) for line in text.split("\n"))


def _has_title(line: str) -> bool:
    start, end = line.find("<<"), line.rfind(">>")
    return start >= 0 and end - start > 2 and bool(line[start : end + 2].lstrip("<").rstrip(">").strip())


class ConstrainedResponse(Instruction):
    """One of three fixed answers, somewhere."""

    def followed(self, text: str) -> bool:
        return any(answer in text for answer in _ANSWERS)


class NumberPlaceholders(Instruction):
    """At least so many [placeholders], each on one line."""

    num_placeholders: Count

    def followed(self, text: str) -> bool:
        return sum(_brackets(line) for line in text.split("\n")) >= self.num_placeholders


def _brackets(line: str) -> int:
    count = end = 0
    while (start := line.find("[", end)) >= 0 and (end := line.find("]", start) + 1) > 0:
        count += 1
    return count


class Postscript(Instruction):
    """A postscript: its mark stands somewhere. Two marks may have blanks between their letters."""

    postscript_marker: Pattern

    def followed(self, text: str) -> bool:
        marker = self.postscript_marker.strip()
        return re.search(_POSTSCRIPTS.get(marker, marker.lower()), text.lower(), re.MULTILINE) is not None


_POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
