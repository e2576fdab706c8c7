r"""Answers that are compared as they are written: one right string, or the letter of one choice.

`exact` sees through case, spaces, Unicode's compatible forms and what quotes an answer (`\text{}`, `**`, quotation
marks, a full stop), and through nothing else. `choice` takes one letter, alone or before its text; a response that
names two is no answer: whoever lists them all would always be right.
"""

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from afterbase.core.sample import Status, Verdict
from afterbase.verify.extract import extract

EXACT, CHOICE = "exact", "choice"

_QUOTED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf)\s*\{([^{}]*)\}")
_AROUND = " \t\n*_`$\"'“”‘’«».,;:!?"
_LETTER = re.compile(
    r"(?:(?:the\s+)?(?:option|choice|answer)\s*:?\s*(?:is\s+)?)?[\(\[]?([A-Z])(?:[)\]]|(?=[\s.:,;]|$))[.:,;]?\s*(.*)",
    re.DOTALL,
)
# A and I are words, too: choices where nothing follows that they could belong to.
_ALONE = re.compile(r"(?<![\w'’])(?:[B-HJ-Z](?![\w'’])|[AI](?=[\s*]*(?:$|[).,:;!?\]])))")
_REASON = re.compile(r"(?:because|since|as|for)\b", re.IGNORECASE)


class Reason(StrEnum):
    """Why an answer is right or wrong."""

    MATCH = "match"
    MISMATCH = "mismatch"
    NO_ANSWER = "no_answer"
    AMBIGUOUS = "ambiguous"


def check_exact(*, response: str, spec: dict[str, Any]) -> Verdict:
    """Whether the answer is one of the right strings; spec: {answer: a string or a list, answer_by (default: box)}."""
    found = extract(response, spec.get("answer_by", ("box",)))
    if found is None:
        return _verdict(EXACT, Reason.NO_ANSWER)
    answers = [spec["answer"]] if isinstance(spec["answer"], str) else spec["answer"]
    right = any(_plain(found) == _plain(answer) for answer in answers)
    return _verdict(EXACT, Reason.MATCH if right else Reason.MISMATCH)


def check_choice(*, response: str, spec: dict[str, Any]) -> Verdict:
    """Whether the one letter that the response chooses is right.

    spec: {answer: a letter, options: the options' texts, or how many there are (default: 4), answer_by (default: box,
    then what is called the answer, then the last line)}. An option may be named by its whole text.
    """
    options = spec.get("options", 4)
    texts = [] if isinstance(options, int) else [_plain(option) for option in options]
    letters = [chr(ord("A") + i) for i in range(options if isinstance(options, int) else len(options))]
    found = extract(response, spec["answer_by"]) if "answer_by" in spec else _last_said(response)
    if found is None:
        return _verdict(CHOICE, Reason.NO_ANSWER)
    chosen = _chosen(_unquoted(found), letters, texts)
    if len(chosen) != 1:
        return _verdict(CHOICE, Reason.AMBIGUOUS if chosen else Reason.NO_ANSWER)
    return _verdict(CHOICE, Reason.MATCH if chosen == {spec["answer"]} else Reason.MISMATCH)


def _chosen(text: str, letters: Sequence[str], texts: Sequence[str]) -> set[str]:
    """The letters that an answer names; more than one is none."""
    if _plain(text) in texts:
        return {letters[i] for i, option in enumerate(texts) if option == _plain(text)}
    said = text.strip(_AROUND)
    if len(said) == 1:
        said = said.upper()
    match = _LETTER.fullmatch(said)
    if match is None or match[1] not in letters:
        return {letter for letter in _ALONE.findall(text) if letter in letters}
    letter, rest = match[1], match[2]
    if _REASON.match(rest) or (texts and _plain(rest) == texts[letters.index(letter)]):
        return {letter}
    others = {other for other in _ALONE.findall(rest) if other in letters}
    # "A good answer" has an article, "A. Paris" a choice.
    article = letter in "AI" and rest and said[match.end(1)].isspace() and rest[0].isalnum()
    return others if article else {letter} | others


def _last_said(response: str) -> str | None:
    found = extract(response, ("box", "answer_is"))
    if found is not None:
        return found
    lines = [line for line in response.splitlines() if line.strip(_AROUND)]
    return lines[-1] if lines else None


def _unquoted(text: str) -> str:
    return _QUOTED.sub(r"\1", unicodedata.normalize("NFKC", text))


def _plain(text: str) -> str:
    return " ".join(_unquoted(text).casefold().split()).strip(_AROUND)


def _verdict(verifier: str, reason: Reason) -> Verdict:
    right = reason is Reason.MATCH
    return Verdict(
        verifier=verifier, status=Status.OK if right else Status.WRONG, value=float(right), reason=str(reason)
    )
