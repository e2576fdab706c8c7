"""Rules that one row breaks by itself: form, length, a second language, personal data, repetition.

R1's curation leaves out chains of thought in mixed languages, with long paragraphs and with code blocks (arXiv
2501.12948, section 2.3.3); it prints no thresholds, so those below are ours. Repetition is measured as in Gopher (arXiv
2112.11446, table A1), as the share of n-grams that were there before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from afterbase.core.config import Config
from afterbase.data.clean.pii import Kind, personal
from afterbase.data.clean.scripts import mixed
from afterbase.data.clean.shingles import Tokens, ngrams, sets

REPEATED_TOKENS, FEWEST_GRAMS = 8, 40
_RUN = re.compile(r"(\S)\1{199}")
_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
# Control tokens of chat templates: in a text they are leftovers of one. Spelt with both kinds of bars.
_MARKUP = re.compile(
    r"<[|｜](?:im_start|im_end|im_sep|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|end_of_text|begin|end"
    r"|system|user|assistant|User|Assistant|begin▁of▁sentence|end▁of▁sentence|pad)[|｜]>"
    r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
)
TEXT, PROMPT = "text", "prompt"
"""Roles of the one turn of a plain text, and of the last turn of a prompt that has no answer."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Filters(Config):
    """What a row has to be. A rule that is None is off."""

    shortest: int = Field(default=1, ge=1)
    """Characters of the last turn."""
    longest: int | None = Field(default=100_000, ge=1)
    """Characters of all turns."""
    longest_paragraph: int | None = Field(default=None, ge=1)
    """Characters between blank lines, in the last turn."""
    code_in_thought: bool = True
    """Whether a `<think>` part may hold a code block."""
    one_language: Literal["scripts", "words"] | None = "scripts"
    """An answer is in one language, code and mathematics apart: no second one of another script, or none at all, which
    takes some milliseconds a row."""
    personal: tuple[Kind, ...] = ("email", "phone", "card", "ip", "key")
    """Kinds of personal data and secrets that no turn may hold."""
    repetition: float | None = Field(default=0.3, gt=0, le=1)
    """Largest share of the last turn's 8-grams that were there before; turns of fewer than 40 of them are not asked."""


@dataclass(frozen=True)
class Broken:
    """The rule that a row breaks, and the score that it saw, if it has one."""

    rule: str
    score: float | None = None


Turns = Sequence[tuple[str, str]]
"""(role, text) of each turn."""


def first_broken(turns: Turns, filters: Filters) -> Broken | None:
    """The first rule that a row breaks, repetition apart."""
    return (
        malformed(turns)
        or length(turns, filters)
        or in_two_languages(turns, filters)
        or private(turns, filters.personal)
    )


def malformed(turns: Turns) -> Broken | None:
    """The form of a conversation: turns in order, each with text, no trace of a template or of a broken encoding."""
    if not turns:
        return Broken("format: no turn")
    roles = [role for role, _ in turns]
    if roles != [TEXT] and (broken := _disordered(roles)):
        return broken
    for role, text in turns:
        if not text.strip():
            return Broken("format: empty turn")
        if "\ufffd" in text:
            return Broken("format: broken encoding", text.count("\ufffd"))
        if found := _CONTROL.search(text):
            return Broken("format: control character", ord(found[0]))
        if ("|" in text or "｜" in text or "[" in text or "<" in text) and _MARKUP.search(text):
            return Broken("format: template markup")
        if role == "assistant" and not _thought_is_whole(text):
            return Broken("format: thought not closed")
    return None


def _disordered(roles: Sequence[str]) -> Broken | None:
    """Roles of a conversation that are unknown or out of order; where the last turn is a prompt alone, it is none."""
    asked = list(roles[1:] if roles[0] == "system" else roles)
    known = {"system", "user", "assistant"}
    if unknown := (set(roles[:-1]) - known) | ({roles[-1]} - {*known, PROMPT}):
        return Broken(f"format: unknown role {min(unknown)[:20]}")
    if asked and asked[-1] == PROMPT:
        asked = [*asked[:-1], "user", "assistant"]
    if asked != ["user", "assistant"] * (len(asked) // 2) or not asked:
        return Broken("format: turns out of order")
    return None


def _thought_is_whole(text: str) -> bool:
    """At most one thought a turn, closed, with an answer behind it."""
    if "<think>" not in text and "</think>" not in text:
        return True
    _, _, answer = text.partition("</think>")
    return (
        text.count("<think>") <= 1 and text.count("</think>") == 1 and bool(answer.strip()) and "<think>" not in answer
    )


def length(turns: Turns, filters: Filters) -> Broken | None:
    """Length in characters, and R1's rules on the chain of thought."""
    last = turns[-1][1]
    whole = sum(len(text) for _, text in turns)
    if len(last) < filters.shortest:
        return Broken("length: too short", len(last))
    if filters.longest is not None and whole > filters.longest:
        return Broken("length: too long", whole)
    if filters.longest_paragraph is not None:
        longest = max(map(len, re.split(r"\n\s*\n", last)))
        if longest > filters.longest_paragraph:
            return Broken("length: long paragraph", longest)
    if not filters.code_in_thought and "<think>" in last:
        thought = _THOUGHT.search(last)
        if thought is not None and "```" in thought[1]:
            return Broken("format: code in a thought")
    return None


def in_two_languages(turns: Turns, filters: Filters) -> Broken | None:
    """The last turn's language."""
    if filters.one_language and mixed(turns[-1][1], one_script_too=filters.one_language == "words"):
        return Broken("language: mixed")
    return None


def private(turns: Turns, kinds: Sequence[Kind]) -> Broken | None:
    """Personal data; the record says which kind, never what."""
    for _, text in turns:
        for kind, _ in personal(text, kinds):
            return Broken(f"personal: {kind}")
    return None


def repetition(last_turns: Tokens) -> npt.NDArray[np.float64]:
    """Of each text, the share of its 8-grams that were there before; 0 for texts of fewer than 40 of them."""
    grams, offsets = ngrams(last_turns, REPEATED_TOKENS)
    _, distinct = sets(grams, offsets)
    counts = np.diff(offsets)
    shares = 1 - np.diff(distinct) / np.maximum(counts, 1)
    return np.where(counts >= FEWEST_GRAMS, shares, 0.0)


def run_of_one_character(text: str) -> bool:
    """Whether one character stands 200 times in a row: what a collapsed model writes."""
    # Such a run fills one at least of the blocks of 100.
    blocks = (text[i : i + 100] for i in range(0, len(text) - 99, 100))
    return any(block == block[0] * 100 for block in blocks) and _RUN.search(text) is not None
