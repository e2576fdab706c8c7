import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.verify.ifeval import english


def test_sentences_know_abbreviations() -> None:
    assert english.sentences("Mr. Fox met J. K. Rowling at 5 p.m. yesterday. She left.\n\nWhy?") == [
        "Mr. Fox met J. K. Rowling at 5 p.m. yesterday.",
        "She left.",
        "Why?",
    ]


def test_words_are_those_of_the_treebank() -> None:
    assert english.words("I CAN'T say it's WELL-KNOWN. (OK?)") == [
        *("I", "CA", "N'T", "say", "it", "'s", "WELL-KNOWN", "."),
        *("(", "OK", "?", ")"),
    ]


def test_the_model_is_whole_and_does_not_grow() -> None:
    model = english._splitter()._params
    parts = (model.abbrev_types, model.collocations, model.sent_starters, model.ortho_context)
    for _ in range(2):
        assert [len(part) for part in parts] == [156, 37, 39, 20366]  # as in NLTK's `punkt_tab`
        english.sentences("Flurbl. Gnarfx went. Snood. zwibbel qux.")


@given(st.lists(st.sampled_from(["I CAN'T. ", "It's (OK) ", "“so”! ", "a.\n", "P.S. "]), max_size=12))
def test_words_of_a_text_are_those_of_its_sentences(parts: list[str]) -> None:
    tokenizer = english._tokenizer()
    text = "".join(parts)
    assert english.words(text) == [word for one in english.sentences(text) for word in tokenizer.tokenize(one)]


def test_a_sentence_that_comes_again_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Tokenizer:
        def tokenize(self, text: str) -> list[str]:
            asked.append(text)
            return text.split()

    monkeypatch.setattr(english, "_tokenizer", Tokenizer)
    assert english.words("The. " * 3) == ["The."] * 3
    assert asked == ["The."]


@pytest.mark.parametrize(("module", "call"), [("nltk", english.words), ("punkt", english.sentences)])
def test_without_nltk_the_remedy_is_said(module, call, monkeypatch) -> None:
    english._splitter.cache_clear()
    english._tokenizer.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match="NLTK and langdetect") as raised:
        call("One. Two.")
    assert raised.value.remedy == "pip install 'afterbase[ifeval]'"
