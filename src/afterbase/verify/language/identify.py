"""How well each language explains each word: n-grams of bytes (py3langid) and lists of function words.

py3langid's naive Bayes adds up what is known of each n-gram. Kept by word, those sums say where in a text a language
begins and ends, which one label for the whole cannot.
"""

import functools
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ONLY = {
    "greek": "el",
    "armenian": "hy",
    "hebrew": "he",
    "bengali": "bn",
    "gurmukhi": "pa",
    "gujarati": "gu",
    "oriya": "or",
    "tamil": "ta",
    "telugu": "te",
    "kannada": "kn",
    "malayalam": "ml",
    "sinhala": "si",
    "thai": "th",
    "lao": "lo",
    "tibetan": "bo",
    "burmese": "my",
    "georgian": "ka",
    "ethiopic": "am",
    "khmer": "km",
    "hangul": "ko",
}
"""Scripts that say the language."""

SHARED = ("latin", "cyrillic", "arabic", "devanagari")
"""Scripts that several languages write: those of `languages.toml`."""

FORMS = {"no": ("no", "nn"), "hr": ("hr", "bs"), "sr": ("sr",)}
"""What py3langid calls the written forms of a language, where it has several."""

_RELATED = [
    {"da", "no", "sv"},
    {"id", "ms"},
    {"cs", "sk"},
    {"hr", "sl", "sr"},
    {"es", "gl", "pt", "ca"},
    {"nl", "af"},
    {"ru", "be", "uk"},
    {"bg", "mk", "sr", "ru"},
    {"hi", "mr", "ne"},
    {"tr", "az"},
    {"fi", "et"},
]

# Nats, chosen on translated messages and on sentences of our own (docs/rewards.md).
KNOWN = 12.0
FOREIGN_LETTER = 8.0
RARE = -4.0
ENGLISH = 3.0
RELATED = 0.5
MOST = 15.0  # one word, however foreign, is one vote
_CACHED = 1 << 16
_PIECES = re.compile(r"[^\W\d_]+(?:[\u0300-\u036f\u0900-\u097f\u200c]+[^\W\d_]*)*")


class Identifier:
    """Scores of words for the languages of one script.

    `languages` has one entry a written form (Norwegian has two), so that a code may stand there twice.
    """

    def __init__(self, script: str) -> None:
        model = _model()
        facts = _facts()[script]
        columns = [
            (code, i) for code in facts for i, label in enumerate(model.nb_classes) if label in FORMS.get(code, (code,))
        ]
        self.languages = tuple(code for code, _ in columns)
        table = model.nb_ptc[:, [i for _, i in columns]]
        self._table = table - table.mean(axis=1, keepdims=True)
        self._walk = model.tk_nextmove, [row << 8 for row in model.tk_row], model.tk_output
        lists = [facts[code]["words"].split() for code in self.languages]
        self._known = {word: np.zeros(len(lists), bool) for words in lists for word in words}
        for i, words in enumerate(lists):
            for word in words:
                self._known[word][i] = True
        alphabets = [facts[code].get("letters", "") for code in self.languages]
        self._without = {
            letter: np.array([letter not in alphabet for alphabet in alphabets], np.float32)
            for letter in set("".join(alphabets))
        }
        self.prior = np.array([_prior(code, facts[code]) for code in self.languages], np.float32)
        self.same = np.array([[a == b for b in self.languages] for a in self.languages])
        """(languages, languages): whether two are forms of one."""
        related = [[any({a, b} <= family for family in _RELATED) for b in self.languages] for a in self.languages]
        self.apart = np.where(self.same, 0.0, np.where(related, RELATED, 1.0)).astype(np.float32)
        """(languages, languages): what a difference in nats between two is worth, which is less between relatives."""
        self._cache: dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}

    def word(self, word: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """How much worse than the best each explains a word (nats, at most 0), and whose function word it is."""
        found = self._cache.get(word)
        if found is None:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            found = self._cache[word] = self._word(word)
        return found

    def _word(self, word: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        lower = word.lower().replace("i\u0307", "i")
        move, rows, out = self._walk
        features = []
        state = 0
        for byte in f" {lower if word.isupper() else word} ".encode():
            state = move[rows[state] + byte]
            if out[state] >= 0:
                features.append(out[state])
        score = self._table[features].sum(axis=0)
        known = np.zeros(len(self.languages), bool)
        for piece in _PIECES.findall(lower):
            if piece in self._known:
                known |= self._known[piece]
        for letter in set(lower) & self._without.keys():
            score -= FOREIGN_LETTER * self._without[letter]
        score += KNOWN * known
        return np.maximum(score - score.max(), -MOST), known


def best_of_all(text: str) -> str:
    """The label that py3langid gives a text, of all that it knows."""
    return _model().classify(text)[0]


def _prior(code: str, facts: dict[str, Any]) -> float:
    return ENGLISH if code == "en" else 0.0 if facts.get("common") else RARE


@functools.cache
def identifier(script: str) -> Identifier:
    """The one of a script; it is built at its first use."""
    return Identifier(script)


@functools.cache
def particles() -> frozenset[str]:
    """Words that stay small in names and titles."""
    return frozenset(_facts()["titles"].split())


def languages() -> frozenset[str]:
    """Every language that may be found but Chinese and Japanese."""
    return frozenset(ONLY.values()) | {code for script in SHARED for code in _facts()[script]}


@functools.cache
def _facts() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("languages.toml").read_text(encoding="utf-8"))


@functools.cache
def _model():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
