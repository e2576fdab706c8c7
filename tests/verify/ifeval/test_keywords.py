import pytest
from pydantic import ValidationError

from afterbase.verify.ifeval.keywords import Existence, ForbiddenWords, Frequency, LetterFrequency


@pytest.mark.parametrize(
    ("text", "followed"),
    [("The RIVERSIDE and trust", True), ("river", False), ("trust", False), ("", False)],
)
def test_every_keyword_is_there(text: str, followed: bool) -> None:
    assert Existence(keywords=["river", "Trust"]).followed(text) is followed


@pytest.mark.parametrize(("text", "count"), [("keyword, Keyword; keywords", 3), ("key word", 0), ("keywordkeyword", 2)])
def test_a_keyword_is_counted_inside_words(text: str, count: int) -> None:
    assert Frequency(keyword=" keyword ", frequency=count, relation="at least").followed(text)
    assert not Frequency(keyword="keyword", frequency=count, relation="less than").followed(text)
    assert Frequency(keyword="keyword", frequency=count + 1, relation="less than").followed(text)


@pytest.mark.parametrize(
    ("text", "followed"), [("Steps", True), ("a STEP.", False), ("step-by-step", False), ("step_1", True), ("", True)]
)
def test_a_forbidden_word_is_a_whole_word(text: str, followed: bool) -> None:
    assert ForbiddenWords(forbidden_words=["step", "law"]).followed(text) is followed


def test_keywords_are_regular_expressions_as_in_the_reference() -> None:
    assert Existence(keywords=["a.b"]).followed("axb")
    assert not ForbiddenWords(forbidden_words=["a|b"]).followed("b.")


@pytest.mark.parametrize(("letter", "count"), [("t", 3), ("T", 3), ("!", 2), ("#", 0)])
def test_letters_are_counted_in_either_case(letter: str, count: int) -> None:
    text = "To test!!"
    assert LetterFrequency(letter=letter, let_frequency=count, let_relation="at least").followed(text)
    assert not LetterFrequency(letter=letter, let_frequency=count + 1, let_relation="at least").followed(text)
    assert not LetterFrequency(letter=letter, let_frequency=count, let_relation="less than").followed(text)


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        (Existence, {"keywords": []}),
        (Existence, {"keywords": "river"}),
        (Existence, {"keywords": ["("]}),
        (ForbiddenWords, {"forbidden_words": [1]}),
        (Frequency, {"keyword": "", "frequency": 1, "relation": "at least"}),
        (Frequency, {"keyword": "a", "frequency": 1, "relation": "at most"}),
        (LetterFrequency, {"letter": "ab", "let_frequency": 1, "let_relation": "at least"}),
        (LetterFrequency, {"letter": "", "let_frequency": 1, "let_relation": "at least"}),
    ],
)
def test_what_the_reference_would_draw_at_random_is_refused(kind: type, kwargs: dict) -> None:
    with pytest.raises(ValidationError):
        kind(**kwargs)
