import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.ifeval.text_form import (
    ConstrainedResponse,
    JsonFormat,
    MultipleSections,
    NumberBulletLists,
    NumberHighlightedSections,
    NumberPlaceholders,
    Postscript,
    Title,
)

LARGE = 300_000
MARKS = st.text(alphabet="*-[]<> \n\r\ta\x85\u2028", max_size=24)


@pytest.mark.parametrize(
    ("text", "bullets"),
    [
        ("* a\n* b", 2),
        ("  * a\n\n\t- b", 2),
        ("- a\n-- b\n-", 3),
        ("**bold**\n*a*", 1),
        ("a * b\na - b", 0),
        ("*\n* b", 1),  # the bare star takes the next line
        ("*", 0),
        ("* ", 1),
        ("", 0),
    ],
)
def test_bullets(text: str, bullets: int) -> None:
    assert [n for n in range(5) if NumberBulletLists(num_bullets=n).followed(text)] == [bullets]


@given(MARKS)
def test_bullets_placeholders_and_titles_are_those_of_the_published_expressions(text: str) -> None:
    bullets = len(re.findall(r"^\s*\*[^\*].*$", text, re.M)) + len(re.findall(r"^\s*-.*$", text, re.M))
    assert NumberBulletLists(num_bullets=bullets).followed(text)
    placeholders = len(re.findall(r"\[.*?\]", text))
    assert NumberPlaceholders(num_placeholders=placeholders).followed(text)
    assert not NumberPlaceholders(num_placeholders=placeholders + 1).followed(text)
    titles = re.findall(r"<<[^\n]+>>", text)
    assert Title().followed(text) == any(title.lstrip("<").rstrip(">").strip() for title in titles)


@pytest.mark.parametrize(
    ("text", "highlights"),
    [("*a* and *b*", 2), ("**a** and *b*", 2), ("** ** *  *", 0), ("*a\nb*", 0), ("***a***", 2), ("*a* *b", 1)],
)
def test_highlights(text: str, highlights: int) -> None:
    assert NumberHighlightedSections(num_highlights=highlights).followed(text)
    assert not NumberHighlightedSections(num_highlights=highlights + 1).followed(text)


@pytest.mark.parametrize(
    ("text", "sections"),
    [("SECTION 1\na\nSECTION 2\nb", 2), ("Section 1", 0), ("SECTION1SECTION\n22", 2), ("SECTION one", 0)],
)
def test_sections(text: str, sections: int) -> None:
    assert MultipleSections(section_spliter=" SECTION ", num_sections=sections).followed(text)
    assert not MultipleSections(section_spliter="SECTION", num_sections=sections + 1).followed(text)


@pytest.mark.parametrize(
    "text", ['{"a": 1}', '```json\n{"a": [1, 2]}\n```', "```JSON {}```", " ```\n[]\n``` ", "1", "NaN", "```Json```1"]
)
def test_json(text: str) -> None:
    assert JsonFormat().followed(text)


@pytest.mark.parametrize("text", ["", "{'a': 1}", "here: {}", "```js\n{}\n```", "{} done", "```json\n{}", "[" * LARGE])
def test_not_json(text: str) -> None:
    assert JsonFormat().followed(text) is (text == "```json\n{}")


@pytest.mark.parametrize(
    ("text", "followed"),
    [("<<a>>", True), ("x <<a b>> y", True), ("<<a\nb>>", False), ("<< >>", False), ("<<>>", False), ("<a>", False)],
)
def test_title(text: str, followed: bool) -> None:
    assert Title().followed(text) is followed


@pytest.mark.parametrize(
    ("text", "followed"),
    [("My answer is yes.", True), ("So: My answer is maybe. Sorry", True), ("my answer is no.", False), ("", False)],
)
def test_one_of_three_answers(text: str, followed: bool) -> None:
    assert ConstrainedResponse().followed(text) is followed


@pytest.mark.parametrize(
    ("marker", "text", "followed"),
    [
        ("P.S.", "Bye.\np. s. more", True),
        ("P.S.", "P.S more", False),
        ("P.S.", "P.P.S. more", True),
        ("P.P.S", "p. p.\ns", True),
        ("P.P.S", "P.S.", False),
        (" PS: ", "well, ps: it", True),
        ("PS:", "ps", False),
        ("p.p.s", "pxpxs", True),  # any other marker is a regular expression
    ],
)
def test_postscript(marker: str, text: str, followed: bool) -> None:
    assert Postscript(postscript_marker=marker).followed(text) is followed


@pytest.mark.parametrize("text", [c * LARGE + "x" for c in ("\n", " ", "[", "<", ">", "*", "-", "<<>", "*\n", "p. ")])
def test_large_hostile_texts_take_no_quadratic_time(text: str) -> None:
    out_of_reach = 10 * LARGE
    for instruction in (
        NumberBulletLists(num_bullets=out_of_reach),
        NumberHighlightedSections(num_highlights=out_of_reach),
        NumberPlaceholders(num_placeholders=out_of_reach),
        MultipleSections(section_spliter="Section", num_sections=1),
        Title(),
        JsonFormat(),
        Postscript(postscript_marker="P.P.S"),
    ):
        assert not instruction.followed(text)
