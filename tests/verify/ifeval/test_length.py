import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from afterbase.verify.ifeval.length import NthParagraphFirstWord, NumberParagraphs, NumberSentences, NumberWords


@pytest.mark.parametrize(
    ("text", "words"), [("", 0), ("don't", 2), ("well-known fact", 3), ("snake_case 3.14", 3), ("中文 text", 2)]
)
def test_words_are_runs_of_letters_digits_and_underscores(text: str, words: int) -> None:
    assert NumberWords(num_words=words, relation="at least").followed(text)
    assert NumberWords(num_words=words + 1, relation="less than").followed(text)
    assert not NumberWords(num_words=words, relation="less than").followed(text)
    assert not NumberWords(num_words=words + 1, relation="at least").followed(text)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("One", 1),
        ("Dr. Smith went to the U.S. on Monday. He was tired!", 2),
        ("It cost 3.50 dollars. Did it? Yes.", 3),
        ("no break.here", 1),
    ],
)
def test_sentences_are_those_of_punkt(text: str, sentences: int) -> None:
    assert NumberSentences(num_sentences=sentences, relation="at least").followed(text)
    assert not NumberSentences(num_sentences=sentences, relation="less than").followed(text)
    assert NumberSentences(num_sentences=sentences + 1, relation="less than").followed(text)


@pytest.mark.parametrize(
    ("text", "paragraphs"),
    [
        ("a***b", 2),
        ("a\n\n***\n\nb\n***\nc", 3),
        ("***\na\n***\nb\n***", 2),
        ("a\n\nb", 1),
        ("a *** *** b", None),
        ("a ****** b", None),
        ("", 0),
        ("***", 0),
        ("a****b", 2),
    ],
)
def test_paragraphs_between_dividers(text: str, paragraphs: int | None) -> None:
    found = [n for n in range(6) if NumberParagraphs(num_paragraphs=n).followed(text)]
    assert found == ([] if paragraphs is None else [paragraphs])


@given(st.text(alphabet="ab* \n\t", max_size=30), st.integers(0, 4))
def test_paragraphs_as_the_published_expression_splits_them(text: str, n: int) -> None:
    parts = re.split(r"\s?\*\*\*\s?", text)
    empty = [i for i, part in enumerate(parts) if not part.strip()]
    expected = all(i in (0, len(parts) - 1) for i in empty) and len(parts) - len(empty) == n
    assert NumberParagraphs(num_paragraphs=n).followed(text) == expected


@pytest.mark.parametrize(
    ("text", "first_word", "followed"),
    [
        ("One.\n\nTwo is here.\n\nThree.", "two", True),
        ("One.\n\nTwo, here.\n\nThree.", "TWO", True),
        ('One.\n\n"Two" it is.\n\nThree.', "two", True),
        ("One.\n\n'\"Two it is.\n\nThree.", "two", True),
        ("One.\n\nTwo-fold.\n\nThree.", "two", False),
        ("One.\n\nTw!o.\n\nThree.", "two", False),
        ("One.\n\n*Two* it is.\n\nThree.", "two", False),
        ("One.\n\nTwo.", "two", False),
        ("One.\n\nTwo.\n\nThree.\n\nFour.", "two", False),
        ("One.\n\nTwo.\n\nThree.\n\n", "two", True),
        ("One.\n\n\n\nTwo.\n\nThree.", "two", False),  # three paragraphs, and the second piece is empty
        ("One.\n\n\nTwo.\n\nThree.", "two", True),
        ("One.\n\nΟΔΟΣ.\n\nThree.", "οδοσ", True),  # small letters one by one: no final sigma
    ],
)
def test_first_word_of_the_second_of_three_paragraphs(text: str, first_word: str, followed: bool) -> None:
    instruction = NthParagraphFirstWord(num_paragraphs=3, nth_paragraph=2, first_word=first_word)
    assert instruction.followed(text) is followed


def test_nothing_follows_one_paragraph_beyond_the_last_and_more_is_refused() -> None:
    beyond = NthParagraphFirstWord(num_paragraphs=2, nth_paragraph=3, first_word="a")
    assert not any(beyond.followed(text) for text in ("a\n\na", "a\n\na\n\na", "a\n\n\n\na"))
    with pytest.raises(ValidationError, match="nth_paragraph 4 is beyond num_paragraphs 2"):
        NthParagraphFirstWord(num_paragraphs=2, nth_paragraph=4, first_word="a")
    with pytest.raises(ValidationError):
        NthParagraphFirstWord(num_paragraphs=2, nth_paragraph=0, first_word="a")
