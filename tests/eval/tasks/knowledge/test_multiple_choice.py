"""Which letter a response chooses, and options in another order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.eval.tasks.knowledge.multiple_choice import Choice, chosen, listed, place_of, reordered, scored
from afterbase.eval.tasks.task import Item


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("Answer: B", "B"),
        ("**Answer:** (B)", "B"),
        ("Answer: **B**", "B"),
        ("answer: b", "B"),
        ("The answer is (c).", "C"),
        ("The answer is A because it fits.", "A"),
        ("The answer is A good idea.", None),
        ("Answer: I think so", None),
        ("The correct answer is option D.", "D"),
        ("The correct option is: $\\boxed{C}$", "C"),
        ("So \\boxed{\\text{B}}.", "B"),
        ("\\boxed{B) 12}", "B"),
        ("\\boxed{12} is the number. Answer: D", "D"),
        ("The answer is A. Wait, no: the answer is B.", "B"),
        ("If the answer is C then x = 1. Final answer: D", "D"),
        ("Answer: E", None),  # no such option
        ("B. because of that", "B"),
        ("(B)", "B"),
        ("B", "B"),
        ("A) 1\nB) 2\nC) 3\nD) 4", None),  # the question over again
        ("A man walks in.", None),
        ("答案：C", "C"),
        ("所以正确答案是 B。", "B"),
        ("故选D", "D"),
        ("应选择A项", "A"),
        ("因此答案为（B）", "B"),
        ("The best choice would be C, not D.", "C"),
        ("$\\text{Answer: } D$", "D"),
        ("Answer: Because B", None),
        ("", None),
    ],
)
def test_chosen_letter(response, letter):
    assert chosen(response, "ABCD") == letter


@given(st.text(), st.sampled_from("ABCD"))
def test_a_last_line_as_asked_for_decides_whatever_stands_before(before, letter):
    assert chosen(f"{before.replace('boxed', '')}\nAnswer: {letter}", "ABCD") == letter


def test_scores_are_by_letter_and_say_why():
    item = Item(id="0", prompt="", question="", gold=Choice("?", ("x", "y"), 1))
    marks = scored([(item, "Answer: B"), (item, "Answer: A"), (item, "Answer: C"), (item, "hm")])
    assert [(m.value, m.answer, m.reason) for m in marks] == [
        (1, "B", "match"),
        (0, "A", "mismatch"),
        (0, None, "no_answer"),
        (0, None, "no_answer"),
    ]


def test_listed_options():
    assert listed(["x", "y"]) == "A) x\nB) y"


@pytest.mark.parametrize("letter", ["E", "", "AB", "1"])
def test_letter_without_option_is_refused(letter):
    with pytest.raises(ValueError, match="none of 4 options"):
        place_of(letter, "ABCD", "answer")


options = st.lists(st.text("xyz", min_size=1), min_size=2, max_size=10, unique=True)


@given(options, st.data(), st.integers(0, 9))
def test_another_order_keeps_the_options_and_moves_the_right_one(options, data, seed):
    right = data.draw(st.integers(0, len(options) - 1))
    other = reordered(Choice("?", tuple(options), right), random.Random(seed))
    assert other is not None
    assert sorted(other.options) == sorted(options)
    assert other.options[other.right] == options[right]
    assert other.right != right


@pytest.mark.parametrize("option", ["All of the above", "both A and B", "A and C", "none of these", "以上都对", "A和B"])
def test_options_that_speak_of_others_stay(option):
    assert reordered(Choice("?", ("x", "y", option), 0), random.Random(0)) is None
