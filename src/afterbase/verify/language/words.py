"""Words of prose with their scripts, cut into sentences."""

import re

from afterbase.verify.language.prose import GAP

_MARK = "\u0300-\u036f"
_LETTERS = {
    "latin": f"A-Za-zªºÀ-ÖØ-öø-ɏɐ-ʯḀ-ỿⱠ-ⱿꜢ-ꟿ{_MARK}",
    "cyrillic": f"Ѐ-ԯᲀ-ᲈⷠ-ⷿꙀ-ꚟ{_MARK}",
    "greek": f"Ͱ-Ͽἀ-῿{_MARK}",
    "armenian": "Ա-Ֆՙա-և",
    "hebrew": "\u0591-\u05bd\u05bf-\u05c7א-ת\u05ef-״",
    "arabic": "\u0610-\u061aؠ-ٟٮ-ۓە-ۯۺ-ۿݐ-ݿࢠ-ࣿ\u200c",
    "devanagari": "\u0900-\u0963\u0971-\u097f",
    "bengali": "\u0980-\u09e3\u09f0-\u09ff",
    "gurmukhi": "\u0a01-\u0a65\u0a70-\u0a7f",
    "gujarati": "\u0a81-\u0ae5\u0af0-\u0aff",
    "oriya": "\u0b01-\u0b65\u0b70-\u0b7f",
    "tamil": "\u0b80-\u0be5\u0bf0-\u0bff",
    "telugu": "\u0c00-\u0c65\u0c78-\u0c7f",
    "kannada": "\u0c80-\u0ce5\u0cf0-\u0cff",
    "malayalam": "\u0d00-\u0d65\u0d70-\u0d7f",
    "sinhala": "\u0d80-\u0df3",
    "thai": "\u0e01-\u0e4f",
    "lao": "\u0e80-\u0ecf\u0edc-\u0eff",
    "tibetan": "\u0f00-\u0f0c\u0f0e-\u0f1f\u0f34-\u0fff",
    "burmese": "\u1000-\u103f\u104c-\u109f",
    "georgian": "\u10a0-\u10ff\u1c90-\u1cbf",
    "ethiopic": "\u1200-\u135f\u1380-\u139f",
    "khmer": "\u1780-\u17d3\u17d7-\u17df",
    "hangul": "\u1100-\u11ff\u3131-\u318e가-힣",
    "kana": "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff",
    "han": "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
}
SCRIPTS = tuple(_LETTERS)
UNSPACED = {"han": 1, "kana": 1, "thai": 4, "lao": 4, "khmer": 4, "burmese": 4, "tibetan": 4}
"""Scripts without spaces between words, and about how many of their characters make one word (CJK: each counts)."""

_JOINED = {"latin": "['’ʼ·-]", "cyrillic": "['’ʼ-]", "greek": "['’-]", "hebrew": "[\"'׳-]", "armenian": "['’-]"}


def _one(name: str) -> str:
    letters = f"[{_LETTERS[name]}]+"
    joined = _JOINED.get(name)
    return f"(?P<{name}>{letters}(?:{joined}{letters})*)" if joined else f"(?P<{name}>{letters})"


_TOKEN = re.compile(
    "|".join(_one(name) for name in SCRIPTS)
    + rf"|(?P<thing>{GAP}+|\d+(?:[.,:٫]\d+)*)"
    + r"|(?P<end>[.!?]+(?=[\s\"'”’)»\]]|$|[^\x00-\x7f])|[。！？।॥۔؟…‽։።។။།\n]+|\|)"
    + r"|(?P<clause>[,;:()\[\]{}\"“”„«»‹›「」『』、，；：（）—–،؛·/])"
)


_CONSONANTS = re.compile("[b-df-hj-np-tv-xz]{2,}")

Sentence = list[tuple[str, str]]
"""Tokens (kind, text); a kind is a script, `thing` (a number, a gap) or `clause` (a mark inside a sentence)."""


def sentences(text: str) -> list[Sentence]:
    """The sentences of a `prose` text that hold at least one word."""
    out: list[Sentence] = []
    tokens: Sentence = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "end":
            tokens.append((kind, match.group()))
        elif tokens:
            out.append(_without_variables(tokens))
            tokens = []
    if tokens:
        out.append(_without_variables(tokens))
    return [s for s in out if any(kind not in ("thing", "clause") for kind, _ in s)]


def _without_variables(tokens: Sentence) -> Sentence:
    """A letter that touches no longer word of its script is a variable or a label, so a thing; so are pq and xyz."""
    out = list(tokens)
    for i, (kind, text) in enumerate(tokens):
        if len(text) == 1 and kind in _JOINED:
            beside = tokens[max(0, i - 1) : i] + tokens[i + 1 : i + 2]
            if not any(other == kind and len(word) > 1 for other, word in beside):
                out[i] = ("thing", text)
        elif kind == "latin" and len(text) < 4 and text.islower() and _CONSONANTS.fullmatch(text):
            out[i] = ("thing", text)
    return out
