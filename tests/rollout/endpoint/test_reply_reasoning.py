import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.rollout.endpoint.reply_reasoning import apart, together
from afterbase.rollout.producer import Response

WORDS = st.text(st.characters(exclude_characters="<>"), min_size=1).map(str.strip).filter(bool)


def response(text: str, reasoning: str | None = None) -> Response:
    return Response(text=text, tokens=1, truncated=False, reasoning=reasoning)


@pytest.mark.parametrize(
    ("given_text", "reasoning", "expected"),
    [
        ("4", "2+2", ("2+2", "4")),
        ("4", " ", (None, "4")),
        ("<think>\n2+2\n</think>\n\n4", None, ("2+2", "4")),
        ("2+2</think>4", None, ("2+2", "4")),
        ("<think></think>4", None, (None, "4")),
        ("<think>cut off", None, ("cut off", "")),
        ("so 4 <think>", None, (None, "so 4 <think>")),
        (" 4\n", None, (None, " 4\n")),
    ],
    ids=["field", "empty field", "tags", "closing tag", "empty tags", "cut off", "tag later", "none"],
)
def test_reasoning_is_told_from_the_answer(given_text, reasoning, expected):
    assert apart(response(given_text, reasoning)) == expected


@given(reasoning=WORDS, answer=WORDS)
def test_tags_are_read_as_they_are_written(reasoning, answer):
    assert apart(response(together(reasoning, answer, "tags"))) == (reasoning, answer)
    assert together(reasoning, answer, "plain") == f"{reasoning}\n\n{answer}"
    assert together(reasoning, answer, "dropped") == together(None, answer, "tags") == answer
