from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.sample import Status
from afterbase.verify.rubric import Reason, check_rubric, repeats, sentences

SPEC: dict[str, Any] = {
    "kind": "roleplay",
    "sentences": [2, 3],
    "words": [6, 20],
    "must_mention": [["tea"], ["welcome", "good day"]],
    "persona_marks": ["arr", "matey"],
    "must_not": ["language model"],
}
GOOD = "Welcome aboard, matey! Would you like some tea?"


def test_a_response_that_meets_every_item_is_ok_with_value_one():
    verdict = check_rubric(response=GOOD, spec=SPEC)
    assert (verdict.status, verdict.value, verdict.reason) == (Status.OK, 1.0, "met")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("Welcome, matey! The tea is \\boxed{4}.", Reason.FOREIGN),
        ("Welcome, matey! ```tea``` is here for you.", Reason.FOREIGN),
        (f"{GOOD} {GOOD}", Reason.REPEATS),
        ("Welcome, matey! Have tea have tea have tea.", Reason.REPEATS),
        (f"Welcome, matey! Here is tea {' '.join(map(str, range(20)))}.", Reason.TOO_LONG),
        ("Welcome, matey! Tea?", Reason.TOO_SHORT),
        ("   \n", Reason.TOO_SHORT),
        ("Welcome aboard, matey! Would you like some tea and", Reason.CUT_OFF),
        ("Welcome aboard, matey, and have some tea.", Reason.SENTENCE_COUNT),
        ("One. Two. Welcome aboard, matey. Have some tea.", Reason.SENTENCE_COUNT),
        ("Welcome, matey, I am a language model. Have some tea.", Reason.FORBIDDEN),
        ("Welcome aboard, matey! Would you like some steak?", Reason.OFF_TOPIC),
        ("Welcome aboard, my friend! Would you like some tea?", Reason.OUT_OF_PERSONA),
    ],
)
def test_the_first_failed_item_is_the_reason(response: str, reason: Reason):
    verdict = check_rubric(response=response, spec=SPEC)
    assert (verdict.status, verdict.reason) == (Status.WRONG, reason)
    assert 0 <= verdict.value < 1


def test_value_is_the_share_of_items_met():
    # Ten items: six of form, must_not, two groups to mention and the persona. Tea and persona are missing.
    verdict = check_rubric(response="Welcome aboard, my friend! Would you like some soup?", spec=SPEC)
    assert verdict.value == pytest.approx(8 / 10)
    assert verdict.reason == Reason.OFF_TOPIC


def test_an_empty_response_meets_nothing():
    assert check_rubric(response="", spec=SPEC).value == 0.0


def test_items_that_the_spec_leaves_empty_do_not_count():
    bare = {**SPEC, "persona_marks": [], "must_not": [], "must_mention": []}
    assert check_rubric(response="One two three. Four five six seven", spec=bare).value == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    "response", ["WELCOME aboard, Matey! Would you like some TEA?", "Good day, arr! Some tea, and a bit of bread?"]
)
def test_words_match_without_case_and_phrases_as_a_whole(response: str):
    assert check_rubric(response=response, spec=SPEC).status is Status.OK


def test_sentences_are_split_at_end_marks_and_an_unfinished_one_counts():
    assert sentences('He said "stop!" and left. It costs 3.50... Really?! And then') == [
        'He said "stop',
        "and left",
        "It costs 3.50",
        "Really",
        "And then",
    ]


@pytest.mark.parametrize("text", ["No no no.", "over the wall the wall.", "a b c d a b c d", "It rains. It  rains!"])
def test_loops_and_repeated_sentences_are_seen(text: str):
    assert repeats(text)


@pytest.mark.parametrize("text", ["Boo, boo, hello.", "The rain falls. The rain is cold.", "One by one."])
def test_what_good_writing_repeats_is_no_loop(text: str):
    assert not repeats(text)


@given(st.text(max_size=200))
def test_any_text_gets_a_verdict_and_ok_means_value_one(text: str):
    verdict = check_rubric(response=text, spec=SPEC)
    assert 0 <= verdict.value <= 1
    assert (verdict.status is Status.OK) == (verdict.value == 1) == (verdict.reason == Reason.MET)


def test_end_marks_without_end_take_no_time_of_their_square() -> None:
    """In a time that grows with the square, this test would not end."""
    assert sentences("." * 1_000_000 + "x") == ["." * 1_000_000 + "x"]
