import sys

import langdetect
import pytest
from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.verify.ifeval.case_and_language import (
    CapitalWordFrequency,
    EnglishCapital,
    EnglishLowercase,
    ResponseLanguage,
    _detectors,
    detected,
)

ENGLISH = "This is a plain sentence about the weather in spring."
GERMAN = "Das ist ein einfacher Satz über das Wetter im Frühling."


@pytest.mark.parametrize(
    ("text", "code"),
    [(ENGLISH, "en"), (GERMAN, "de"), ("यह मौसम के बारे में एक वाक्य है", "hi"), ("123 !?", None), ("", None)],
)
def test_detected(text: str, code: str | None) -> None:
    assert detected(text) == code


def test_the_same_text_is_detected_alike_whatever_came_before() -> None:
    text = "no la di da"  # so short that a draw decides
    first = detected(text)
    for other in (ENGLISH, GERMAN) * 3:
        detected(other)
        assert detected(text) == first
    assert langdetect.DetectorFactory.seed is None, "others' use of langdetect stays as it was"


def test_codes_are_those_that_langdetect_can_tell() -> None:
    known = _detectors().get_lang_list()
    assert known == sorted(known)
    for code in known:
        ResponseLanguage(language=code)
    assert len(known) == 55
    with pytest.raises(ValidationError):
        ResponseLanguage(language="english")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "language", "followed"), [(ENGLISH, "en", True), (GERMAN, "en", False), ("42", "ar", True)]
)
def test_response_language(text: str, language, followed: bool) -> None:
    assert ResponseLanguage(language=language).followed(text) is followed


@pytest.mark.parametrize(
    ("text", "capital", "lowercase"),
    [
        (ENGLISH, False, False),
        (ENGLISH.upper(), True, False),
        (ENGLISH.lower(), False, True),
        (GERMAN.upper(), False, False),
        (GERMAN.lower(), False, False),
        ("42", False, False),  # neither case
    ],
)
def test_case_of_english(text: str, capital: bool, lowercase: bool) -> None:
    assert EnglishCapital().followed(text) is capital
    assert EnglishLowercase().followed(text) is lowercase


@pytest.mark.parametrize(("text", "count"), [("I saw NASA and a WELL-KNOWN A1.", 4), ("CAN'T", 2), ("Ok", 0), ("", 0)])
def test_words_in_capitals(text: str, count: int) -> None:
    assert CapitalWordFrequency(capital_frequency=count, capital_relation="at least").followed(text)
    assert not CapitalWordFrequency(capital_frequency=count, capital_relation="less than").followed(text)
    assert CapitalWordFrequency(capital_frequency=count + 1, capital_relation="less than").followed(text)


def test_without_langdetect_the_remedy_is_said(monkeypatch) -> None:
    _detectors.cache_clear()
    monkeypatch.setitem(sys.modules, "langdetect", None)
    with pytest.raises(UserError, match="NLTK and langdetect") as raised:
        detected(ENGLISH)
    assert raised.value.remedy == "pip install 'afterbase[ifeval]'"
