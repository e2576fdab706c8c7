"""Texts as hashed tokens and hashed n-grams, many in one call, to find duplicates, contamination, repetition.

Text is NFKC-normalised and case-folded. A token is a run of letters, marks and digits; or one character of a script
written without spaces (Chinese, Japanese, Thai, ...) or of Hangul; or one operator, so that `3 + 4` and `3 - 4` differ.
White space and other punctuation separate tokens and are none.

Hashes are polynomials over the whole batch modulo 2^64, taken apart by inverse powers (Karp and Rabin 1987), then mixed
(splitmix64). They are the same on every machine, for they are shipped in files: a change here is a new `HASHES`. They
hide a text from being read, not from being guessed.

Does not cover: letters that a later Unicode than the interpreter's assigns.
"""

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]
Grams = npt.NDArray[np.uint32]

HASHES = 1
_WORD, _SINGLE, _OPERATOR = 1, 2, 3
_CHARACTER_BASE, _TOKEN_BASE = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95
# Scripts without spaces between words, and Hangul, which `CJK by character` includes.
_SINGLES = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029),
    (0x3040, 0x312F), (0x31A0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
    (0x1B000, 0x1B16F), (0x20000, 0x3FFFF),
)  # fmt: skip
_OPERATORS = "+-*/^%<>=|&~"
_SPELLINGS = {"−": "-", "‐": "-", "‑": "-", "–": "-", "×": "*", "⋅": "*", "·": "*", "÷": "/", "∕": "/"}
_NO_OPERATORS = "$`"  # symbols to Unicode, quotation marks to LaTeX and Markdown


@dataclass(frozen=True)
class Tokens:
    """Token hashes of several texts one after another; those of text i are hashes[offsets[i] : offsets[i + 1]]."""

    hashes: Hashes
    offsets: Offsets
    operators: npt.NDArray[np.bool_]
    """Whether a token is an operator."""

    def counts(self) -> Offsets:
        """Tokens of each text."""
        return np.diff(self.offsets)

    def without_operators(self) -> "Tokens":
        """The words alone."""
        kept = ~self.operators
        before = np.concatenate(([0], np.cumsum(kept)))
        return Tokens(self.hashes[kept], before[self.offsets], self.operators[kept])


def tokens(texts: Sequence[str]) -> Tokens:
    """Hashed tokens of each text."""
    joined = "\0".join(text.replace("\0", " ") for text in texts) + "\0" * bool(texts)
    if not joined.isascii():
        joined = unicodedata.normalize("NFKC", joined)
    codes = np.frombuffer(joined.casefold().encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds_by_code, values_by_code = _alphabet()
    kinds = kinds_by_code[codes]
    begins = kinds != 0
    begins[1:] &= (kinds[1:] != _WORD) | (kinds[:-1] != _WORD)
    starts = np.flatnonzero(begins)
    ends = np.flatnonzero(codes == 0)
    offsets = np.concatenate(([0], np.searchsorted(starts, ends)))
    if not len(starts):
        return Tokens(np.empty(0, np.uint64), offsets, np.empty(0, bool))
    powers, inverses = _powers(_CHARACTER_BASE, len(codes))
    sums = np.add.reduceat(values_by_code[codes] * powers, starts)
    return Tokens(_mix(sums * inverses[starts]), offsets, kinds[starts] == _OPERATOR)


def ngrams(of: Tokens, n: int) -> tuple[Hashes, Offsets]:
    """Hashes of each text's n-grams in order, and their offsets; a text of fewer than n tokens is one gram, if any."""
    lengths = of.counts()
    if not len(of.hashes):
        return np.empty(0, np.uint64), np.zeros(len(lengths) + 1, np.int64)
    powers, inverses = _powers(_TOKEN_BASE, len(of.hashes))
    before = np.concatenate((np.zeros(1, np.uint64), np.cumsum(of.hashes * powers, dtype=np.uint64)))
    places = np.arange(len(of.hashes))
    left = np.repeat(of.offsets[1:], lengths) - places
    whole = (places == np.repeat(of.offsets[:-1], lengths)) & (left < n)
    starts = places[(left >= n) | whole]
    grams = (before[starts + np.minimum(left[starts], n)] - before[starts]) * inverses[starts]
    counts = np.where(lengths >= n, lengths - n + 1, np.minimum(lengths, 1))
    return _mix(grams), np.concatenate(([0], np.cumsum(counts)))


def sets(grams: Hashes, offsets: Offsets) -> tuple[Grams, Offsets]:
    """The distinct grams of each text, ascending, cut to 32 bits: one text in 10^5 has two that are taken for one."""
    texts = np.repeat(np.arange(len(offsets) - 1, dtype=np.uint64), np.diff(offsets))
    keys = np.sort((texts << np.uint64(32)) | (grams >> np.uint64(32)))
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    keys = keys[first]
    bounds = np.arange(len(offsets), dtype=np.uint64) << np.uint64(32)
    return keys.astype(np.uint32), np.searchsorted(keys, bounds).astype(np.int64)


def jaccard(a: Grams, b: Grams) -> float:
    """|a and b| / |a or b| of two ascending arrays without repetitions, of which one at least has an entry."""
    both = np.concatenate((a, b))
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


def _mix(values: Hashes) -> Hashes:
    """splitmix64's finaliser: every bit of the input moves every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hash_integers(values: Hashes) -> Hashes:
    """Each 64-bit value as a hash of itself."""
    return _mix(values + np.uint64(_CHARACTER_BASE))


@functools.cache
def _alphabet() -> tuple[npt.NDArray[np.uint8], Hashes]:
    """The kind of every code point (0 for what separates), and its value: 64 random bits, 0 for those."""
    kinds = np.zeros(0x110000, np.uint8)
    categories = "".join(unicodedata.category(chr(code))[0] for code in range(len(kinds)))
    letters = np.frombuffer(categories.encode(), np.uint8)
    kinds[np.isin(letters, list(b"LMN"))] = _WORD
    kinds[letters == ord("S")] = _OPERATOR
    for first, last in _SINGLES:
        span = kinds[first : last + 1]
        span[span == _WORD] = _SINGLE
    kinds[[ord(c) for c in _OPERATORS] + [ord(c) for c in _SPELLINGS]] = _OPERATOR
    kinds[[ord(c) for c in _NO_OPERATORS]] = 0
    values = _mix(np.arange(1, len(kinds) + 1, dtype=np.uint64) * np.uint64(_CHARACTER_BASE))
    for spelling, plain in _SPELLINGS.items():
        values[ord(spelling)] = values[ord(plain)]
    values[kinds == 0] = 0
    return kinds, values


_KEPT_POWERS: dict[int, tuple[Hashes, Hashes]] = {}


def _powers(base: int, count: int) -> tuple[Hashes, Hashes]:
    """base^i and base^-i modulo 2^64 for i < count; the longest tables so far are kept."""
    kept = _KEPT_POWERS.get(base)
    if kept is None or len(kept[0]) < count:
        size = 1 << max(count, 1 << 16).bit_length()
        inverse = pow(base, -1, 2**64)
        kept = _KEPT_POWERS[base] = (_geometric(base, size), _geometric(inverse, size))
    return kept[0][:count], kept[1][:count]


def _geometric(factor: int, size: int) -> Hashes:
    steps = np.full(size, factor, np.uint64)
    steps[0] = 1
    return np.cumprod(steps, dtype=np.uint64)
