"""The words of a text, each with the language that it is in.

A script that one language writes says it. Elsewhere the main language of the script is the one that explains most of
its words, and inside each sentence one stretch that another language explains much better is given to that one.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afterbase.verify.language.chinese_or_japanese import chinese_or_japanese, speaks_japanese
from afterbase.verify.language.identify import ONLY, SHARED, Identifier, identifier, particles
from afterbase.verify.language.prose import prose
from afterbase.verify.language.words import UNSPACED, Sentence, sentences

SHORTEST = 4
"""Words of the shortest stretch that is taken for another language's."""

NAME = 0.3
"""Votes of a name: it says less about the language around it."""

_HAN_WORD = 1.7  # characters in a Chinese word, to weigh it against words between spaces
_GAIN = 20.0  # nats by which a second language explains a stretch better than the main one
_WHOLE = 0.6  # of _GAIN, for a whole sentence
_BREAK = 15.0  # nats that a function word of the main language alone takes off
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
            found |= _identified(read, places, script)
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
                said.append(Word(token, kind, cjk if kind == "han" else "ja", True))
            elif kind in ONLY:
                said.append(Word(token, kind, ONLY[kind], True))
            else:
                said.append(Word(token, kind, *found[i, j]))
        out.append(said)
    return out


def _identified(
    read: Sequence[Sentence], places: list[tuple[int, int]], script: str
) -> dict[tuple[int, int], tuple[str, bool, bool]]:
    """(language, whether a function word, whether a name) of the words at the places, which are all of one script."""
    who = identifier(script)
    said = [who.word(read[i][j][1]) for i, j in places]
    scores = np.stack([score for score, _ in said])
    known = np.stack([k for _, k in said])
    row = [i for i, _ in places]
    names = _names(read, places)
    votes = np.where(names, NAME, 1.0).astype(np.float32)
    starts = [0, *(np.flatnonzero(np.diff(row)) + 1), len(places)]
    main = _main(votes[:, None] * scores, who.prior, starts)
    chosen = np.full(len(places), main)
    for start, end in itertools.pairwise(starts):
        things = any(kind == "thing" for kind, _ in read[row[start]])
        if end - start >= SHORTEST - things:
            marks = [_after_mark(read[i], j) for i, j in places[start:end]]
            chosen[start:end] = _divided(marks, scores[start:end], known[start:end], main, who, things)
    function: list[bool] = np.any(known & who.same[chosen], axis=1).tolist()
    return {place: (who.languages[chosen[n]], function[n], names[n]) for n, place in enumerate(places)}


def _main(votes: NDArray[np.float32], prior: NDArray[np.float32], starts: list[int]) -> int:
    """The form that explains the whole best, if one sentence bears it out: between two it may be a third."""
    total = votes.sum(axis=0) + prior
    sums = np.add.reduceat(votes, starts[:-1], axis=0) + prior
    return max(set(sums.argmax(axis=1).tolist()), key=lambda form: total[form])


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


def _divided(
    marks: list[bool],
    scores: NDArray[np.float32],
    known: NDArray[np.bool_],
    main: int,
    who: Identifier,
    things: bool,
) -> NDArray[np.intp]:
    """The form that each word of a sentence is in: the main one, or that of one stretch or of all around one stretch.

    A whole sentence with a number or gap in it (`things`) may be a word shorter than other stretches.
    """
    n = len(marks)
    chosen = np.full(n, main)
    # A function word that only one of both languages has is in no stretch of the other.
    against = np.where(known, 0.0, _BREAK * known[:, main : main + 1])
    gain = _sums(scores - scores[:, main : main + 1] - against)
    best = (gain - np.minimum.accumulate(gain, axis=0)) * who.apart[main]
    last, other = np.unravel_index(best.argmax(), best.shape)
    all_of_it = gain[-1] * who.apart[main]
    if all_of_it.max() >= _WHOLE * _GAIN and n >= SHORTEST:
        # A whole sentence takes less to be another's, if two function words are that one's alone.
        other = all_of_it.argmax()
        if (known[:, other] & ~known[:, main]).sum() >= 2:
            return np.full(n, other)
        last, other = np.unravel_index(best.argmax(), best.shape)
    if best[last, other] >= _GAIN:
        first = int(gain[: last + 1, other].argmin())
        first, last = _bounded(first, int(last), marks, scores[:, other] - scores[:, main], known[:, [main, other]])
        whole = last - first == n
        sure = (known[first:last, other] & ~known[first:last, main]).any() or (
            best[:, other].max() >= 2 * _GAIN and (whole or who.languages[other] != "en")
        )
        if last - first >= SHORTEST - (whole and things) and sure:
            chosen[first:last] = other
            return chosen
    return _around(chosen, gain, known, main, who)


def _around(
    chosen: NDArray[np.intp], gain: NDArray[np.float32], known: NDArray[np.bool_], main: int, who: Identifier
) -> NDArray[np.intp]:
    """The main language may be the one stretch, and another what stands around it: He said "ich habe keine Zeit"."""
    drop = np.maximum.accumulate(gain, axis=0) - gain
    rest = (gain[-1] + drop.max(axis=0)) * who.apart[main]
    own = (known & ~known[:, main : main + 1]).sum(axis=0)
    rest[(own < 2) | (drop.max(axis=0) * who.apart[main] < _GAIN)] = 0
    other = int(rest.argmax())
    if rest[other] < _GAIN:
        return chosen
    last = int(drop[:, other].argmax())
    first = int(gain[: last + 1, other].argmax())
    if last - first < SHORTEST or len(chosen) - last + first < 3:
        return chosen
    around = chosen.copy()
    around[:first] = other
    around[last:] = other
    return around


def _sums(gains: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.zeros((len(gains) + 1, gains.shape[1]), np.float32)
    np.cumsum(gains, axis=0, out=out[1:])
    return out


def _bounded(
    first: int, last: int, marks: list[bool], gain: NDArray[np.float32], known: NDArray[np.bool_]
) -> tuple[int, int]:
    """Words that could be either's belong to the clause that they touch, up to where it is bounded; else one is left.

    `known` has two columns: the main language, the other one.
    """
    either = (gain > -_EITHER) | known[:, 1]
    start = max(i for i in range(first + 1) if marks[i])
    end = min((i for i in range(last, len(marks)) if marks[i]), default=len(marks))
    if either[start:first].all():
        first = start
    elif known[first, 0]:
        first += 1
    if either[last:end].all():
        last = end
    elif known[last - 1, 0]:
        last -= 1
    return first, last
