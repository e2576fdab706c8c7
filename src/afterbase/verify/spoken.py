"""The words of a text, each with the language that it is in.

A script that one language writes says it. Elsewhere the main language of the script is the one that explains most of
its words, and inside each sentence the one stretch that another language explains much better is given to that one.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afterbase.verify.chinese_or_japanese import chinese_or_japanese, speaks_japanese
from afterbase.verify.identify import ONLY, SHARED, Identifier, identifier, particles
from afterbase.verify.prose import prose
from afterbase.verify.words import UNSPACED, Sentence, sentences

SHORTEST = 4
"""Words of the shortest stretch that is taken for another language's."""

NAME = 0.3
"""Votes of a name: it says less about the language around it."""

_HAN_WORD = 1.7  # characters in a Chinese word, to weigh it against words between spaces
_GAIN = 20.0  # nats by which a second language explains a stretch better than the main one
_EITHER = 6.0  # nats by which a word may fit a stretch worse than the main language


@dataclass(slots=True)
class Word:
    """One word, or one run of CJK characters, with the language that it was taken for."""

    text: str
    script: str
    language: str
    known: bool
    """Whether it is one of the language's function words; for scripts that say the language, always."""
    name: bool = False
    """Whether it is written as names are inside a sentence."""

    @property
    def size(self) -> float:
        """Words: a run without spaces is as many as its length tells."""
        if self.script in ("han", "kana"):
            return len(self.text) / _HAN_WORD
        return max(1.0, len(self.text) / UNSPACED.get(self.script, len(self.text)))


Spoken = list[Word | None]
"""A sentence: its words, and None for a number or a gap."""


def spoken(text: str) -> list[Spoken]:
    """The sentences of a text with the language of each word."""
    read = sentences(prose(text))
    found: dict[tuple[int, int], tuple[str, bool, bool]] = {}
    for script in SHARED:
        places = [(i, j) for i, s in enumerate(read) for j, (kind, _) in enumerate(s) if kind == script]
        if places:
            found |= _told_apart(read, places, script)
    japanese = speaks_japanese(read)
    out = []
    for i, sentence in enumerate(read):
        said: Spoken = []
        cjk = chinese_or_japanese(sentence, japanese)
        for j, (kind, token) in enumerate(sentence):
            if kind == "clause":
                continue
            if kind == "thing":
                said.append(None)
            elif kind in ("han", "kana"):
                said.append(Word(token, kind, cjk, True))
            elif kind in ONLY:
                said.append(Word(token, kind, ONLY[kind], True))
            else:
                said.append(Word(token, kind, *found[i, j]))
        out.append(said)
    return out


def _told_apart(
    read: Sequence[Sentence], places: list[tuple[int, int]], script: str
) -> dict[tuple[int, int], tuple[str, bool, bool]]:
    """(language, whether a function word, whether a name) of the words at the places, which are all of one script."""
    who = identifier(script)
    said = [who.word(read[i][j][1]) for i, j in places]
    scores = np.stack([score for score, _ in said])
    known = np.stack([k for _, k in said])
    row = np.array([i for i, _ in places])
    names = _names(read, places)
    votes = np.where(names, NAME, 1.0).astype(np.float32)
    main = int((votes @ scores + who.prior).argmax())
    chosen = np.full(len(places), main)
    starts = [0, *(np.flatnonzero(np.diff(row)) + 1), len(places)]
    for start, end in itertools.pairwise(starts):
        if end - start >= SHORTEST:
            marks = [_after_mark(read[i], j) for i, j in places[start:end]]
            segment = _segment(marks, scores[start:end], known[start:end], main, who)
            if segment is not None:
                first, last, other = segment
                chosen[start + first : start + last] = other
    function: list[bool] = np.any(known & who.same[chosen], axis=1).tolist()
    return {place: (who.languages[chosen[n]], function[n], names[n]) for n, place in enumerate(places)}


def _names(read: Sequence[Sentence], places: list[tuple[int, int]]) -> list[bool]:
    """Whether each word has a capital inside a sentence, or stands between such, as "de la" does in names."""
    small = particles()
    texts = [read[i][j][1] for i, j in places]
    capital = [t[0].isupper() and not t.isupper() and j > 0 for t, (_, j) in zip(texts, places, strict=True)]
    before, after = list(capital), list(capital)
    for n in range(1, len(places)):
        joined = places[n][0] == places[n - 1][0]
        before[n] = before[n] or (joined and before[n - 1] and texts[n] in small)
        m = len(places) - 1 - n
        joined = places[m][0] == places[m + 1][0]
        after[m] = after[m] or (joined and after[m + 1] and texts[m] in small)
    return [one and other for one, other in zip(before, after, strict=True)]


def _after_mark(sentence: Sentence, place: int) -> bool:
    """Whether a clause may begin at a word: nothing, a mark, a thing or another script stands before it."""
    return place == 0 or sentence[place - 1][0] != sentence[place][0]


def _segment(
    marks: list[bool], scores: NDArray[np.float32], known: NDArray[np.bool_], main: int, who: Identifier
) -> tuple[int, int, int] | None:
    """[first, last) of the words that another language explains best, and that language; None if it is not clear."""
    n = len(marks)
    gain = np.zeros((n + 1, len(who.languages)), np.float32)
    np.cumsum(scores - scores[:, main : main + 1], axis=0, out=gain[1:])
    best = (gain - np.minimum.accumulate(gain, axis=0)) * who.apart[main]
    last, other = np.unravel_index(best.argmax(), best.shape)
    most = best[last, other]
    if most < _GAIN:
        return None
    first = int(gain[: last + 1, other].argmin())
    # Words that could be either's belong to the clause that they touch, up to where it is bounded.
    either = (scores[:, other] - scores[:, main] > -_EITHER) | known[:, other]
    start = max(i for i in range(first + 1) if marks[i])
    if either[start:first].all():
        first = start
    end = min((i for i in range(last, n) if marks[i]), default=n)
    if either[last:end].all():
        last = end
    own = known[first:last, other] & ~known[first:last, main]
    whole = last - first == n
    sure = own.any() or (most >= 2 * _GAIN and (whole or who.languages[other] != "en"))
    if last - first < SHORTEST or not sure:
        return None
    return first, int(last), int(other)
