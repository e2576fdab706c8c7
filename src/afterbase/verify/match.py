r"""Answers that are compared as they are written: one right string, or the letter of one choice.

`exact` sees through case, spaces, Unicode's compatible forms and what quotes an answer (`\text{}`, `**`, quotation
marks, a full stop), and through nothing else. `choice` takes the one letter that a response chooses
(`verify/choice_letters.py`), or an option's whole text.
"""

import re
import unicodedata
from enum import StrEnum
from typing import Any

from afterbase.core.sample import Status, Verdict
from afterbase.verify.choice_letters import chosen as letters_chosen
from afterbase.verify.choice_letters import stated
from afterbase.verify.extract import extract

EXACT, CHOICE = "exact", "choice"

_QUOTED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf)\s*\{([^{}]*)\}")
_AROUND = " \t\n*_`$\"'“”‘’«».,;:!?"


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

    spec: {answer: a letter, options: the options' texts, or how many there are (default: 4), answer_by (default: as
    `verify/choice_letters.py` reads a response)}. An option may be named by its whole text, in a box or as the answer.
    """
    options = spec.get("options", 4)
    texts = [] if isinstance(options, int) else [_plain(option) for option in options]
    letters = "".join(chr(ord("A") + i) for i in range(options if isinstance(options, int) else len(options)))
    if "answer_by" in spec:
        found = extract(response, spec["answer_by"])
        said = set() if found is None else stated(found, letters) or letters_chosen(found, letters)
    else:
        found = extract(response, ("box", "answer_is"))
        said = letters_chosen(response, letters)
    by_text = {letter for letter, text in zip(letters, texts, strict=False) if found and _plain(found) == text}
    chosen = by_text or said
    if len(chosen) != 1:
        return _verdict(CHOICE, Reason.AMBIGUOUS if chosen else Reason.NO_ANSWER)
    return _verdict(CHOICE, Reason.MATCH if chosen == {spec["answer"]} else Reason.MISMATCH)


def _unquoted(text: str) -> str:
    return _QUOTED.sub(r"\1", unicodedata.normalize("NFKC", text))


def _plain(text: str) -> str:
    return " ".join(_unquoted(text).casefold().split()).strip(_AROUND)


def _verdict(verifier: str, reason: Reason) -> Verdict:
    right = reason is Reason.MATCH
    return Verdict(
        verifier=verifier, status=Status.OK if right else Status.WRONG, value=float(right), reason=str(reason)
    )
