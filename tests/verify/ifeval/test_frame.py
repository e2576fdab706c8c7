import pytest

from afterbase.verify.ifeval.frame import EndChecker, NoComma, Quotation, RepeatPrompt, TwoResponses


@pytest.mark.parametrize(
    ("text", "followed"),
    [(" say hi. Hi!", True), ("SAY HI.", True), ("Sure: Say hi.", False), ("Say hi", False), ("", False)],
)
def test_the_prompt_comes_first(text: str, followed: bool) -> None:
    assert RepeatPrompt(prompt_to_repeat=" Say hi. ").followed(text) is followed


@pytest.mark.parametrize(
    ("text", "followed"),
    [
        ("a******b", True),
        ("******\na\n******\nb\n******", True),
        ("a ****** a", False),
        ("a ****** b ****** c", False),
        ("a ****** ****** b", False),
        ("a ************ b", False),
        ("a *** b", False),
        ("a ******", False),
        ("", False),
    ],
)
def test_two_responses(text: str, followed: bool) -> None:
    assert TwoResponses().followed(text) is followed


@pytest.mark.parametrize(
    ("text", "followed"),
    [("So. any more?", True), ('"Any more?" ', True), ("Any more? No.", False), ("any  more?", False), ("", False)],
)
def test_the_end(text: str, followed: bool) -> None:
    assert EndChecker(end_phrase=" Any more? ").followed(text) is followed


@pytest.mark.parametrize(
    ("text", "followed"),
    [('"a"', True), (' "a" and "b"\n', True), ('""', True), ('"', False), ("“a”", False), ("", False)],
)
def test_quotation(text: str, followed: bool) -> None:
    assert Quotation().followed(text) is followed


@pytest.mark.parametrize(("text", "followed"), [("a; b", True), ("a, b", False), ("1,000", False), ("你好，", True)])
def test_no_comma(text: str, followed: bool) -> None:
    assert NoComma().followed(text) is followed
