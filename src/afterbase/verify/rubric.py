"""A rubric for open answers: what a held-out annotator would look for, as countable items.

It plays the annotator in evaluation and in preference data for prompts that have no gold answer. It reads words,
not meaning: an answer that is clumsy, contradicts itself, or is wrong outside `must_not` can still meet it. That is
what the review of drafts is for.
"""

import re
from enum import StrEnum
from typing import Any

from afterbase.core.sample import Status, Verdict

VERIFIER = "rubric"

_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"')]*+(?=\s|$)")  # whole runs alone: linear in time
_UNFINISHED = re.compile(r"[^.!?\"')]$")
_FOREIGN = ("\\boxed", "```", "<think>", "</think>")


class Reason(StrEnum):
    """Why an answer is refused: the first item it fails, in this order; `met` if it fails none."""

    FOREIGN = "foreign"
    REPEATS = "repeats"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    CUT_OFF = "cut_off"
    SENTENCE_COUNT = "sentence_count"
    FORBIDDEN = "forbidden"
    OFF_TOPIC = "off_topic"
    OUT_OF_PERSONA = "out_of_persona"
    MET = "met"


def check_rubric(*, response: str, spec: dict[str, Any]) -> Verdict:
    """Whether the response meets every item of the rubric; value is the share of items met.

    `spec`: `sentences` and `words` ([least, most]), `must_mention` (groups of words, one of each group must appear
    and each group is one item), `persona_marks` (one must appear, unless the list is empty), `must_not` (none may
    appear). Words and phrases match whole and without case. An empty response has value 0.
    """
    if not response.strip():
        return Verdict(verifier=VERIFIER, status=Status.WRONG, value=0.0, reason=str(Reason.TOO_SHORT))
    items = _items(response.strip(), spec)
    failed = [reason for reason, met in items if not met]
    return Verdict(
        verifier=VERIFIER,
        status=Status.WRONG if failed else Status.OK,
        value=1 - len(failed) / len(items),
        reason=str(failed[0] if failed else Reason.MET),
    )


def failed_items(response: str, spec: dict[str, Any]) -> list[Reason]:
    """The reason of each item that the response does not meet, in the order of `Reason`; none where it is accepted."""
    return [reason for reason, met in _items(response.strip(), spec) if not met]


def has_rubric(spec: dict[str, Any]) -> bool:
    """Whether a problem comes with a rubric; an open problem need not."""
    return "must_mention" in spec


def _items(text: str, spec: dict[str, Any]) -> list[tuple[Reason, bool]]:
    """(reason of refusal, met) of every item that applies, in the order of `Reason`."""
    least_words, most_words = spec["words"]
    least_sentences, most_sentences = spec["sentences"]
    words = len(text.split())
    items = [
        (Reason.FOREIGN, not any(mark in text for mark in _FOREIGN)),
        (Reason.REPEATS, not repeats(text)),
        (Reason.TOO_LONG, words <= most_words),
        (Reason.TOO_SHORT, words >= least_words),
        (Reason.CUT_OFF, not _UNFINISHED.search(text)),
        (Reason.SENTENCE_COUNT, least_sentences <= len(sentences(text)) <= most_sentences),
    ]
    if spec["must_not"]:
        items.append((Reason.FORBIDDEN, not _mentions(text, spec["must_not"])))
    items += [(Reason.OFF_TOPIC, _mentions(text, group)) for group in spec["must_mention"]]
    if spec["persona_marks"]:
        items.append((Reason.OUT_OF_PERSONA, _mentions(text, spec["persona_marks"])))
    return items


def sentences(text: str) -> list[str]:
    """The sentences of a text, without their end marks; an unfinished last one counts."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def repeats(text: str) -> bool:
    """Whether a sentence comes twice, or one to four words come again at once (a single word: twice again)."""
    plain = [" ".join(_words(sentence)) for sentence in sentences(text)]
    if len(set(plain)) < len(plain):
        return True
    words = _words(text)
    if any(a == b == c for a, b, c in zip(words, words[1:], words[2:], strict=False)):
        return True
    return any(words[i : i + n] == words[i + n : i + 2 * n] for n in (2, 3, 4) for i in range(len(words) - 2 * n + 1))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:'\w+)?", text.lower())


def first_mentioned(text: str, alternatives: list[str]) -> str | None:
    """The first of the words or phrases that the text holds, whole and without case; None if it holds none."""
    return next((w for w in alternatives if re.search(rf"(?<!\w){re.escape(w)}(?!\w)", text, re.IGNORECASE)), None)


def _mentions(text: str, alternatives: list[str]) -> bool:
    return first_mentioned(text, alternatives) is not None
