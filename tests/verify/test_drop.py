"""The DROP metric: its rules one by one, the alignment of spans, and published scores."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.drop import best_score, best_sum, drop_score


@pytest.mark.parametrize(
    ("prediction", "gold", "em", "f1"),
    [
        ("The Patriots!", "patriots", 1, 100),
        ("12 yards", "12", 0, 66.67),  # half the words are right, and all that is asked for is there
        ("10 people", "11 people", 0, 0),  # another number
        ("ten people", "11 people", 0, 0),  # none of its numbers
        ("17.0", "17", 1, 100),
        ("1e2", "100", 1, 100),  # numbers by their value, in any spelling that float takes
        ("-3", "3", 1, 100),  # a hyphen parts words, so that a sign is lost
        ("", "", 1, 100),
        ("the", "a", 1, 100),  # nothing is left of either
        ("", "x", 0, 0),
        (["b", "a"], ["a", "b"], 1, 100),
        (["a b", "c"], ["c"], 0, 50),  # a span too many has no partner
        (["red car", "blue car"], ["blue", "red"], 0, 66.67),
        ("a\tb", "b", 1, 100),  # other white space does not part words for the articles, but counts for none
    ],
)
def test_rules(prediction, gold, em, f1):
    assert drop_score(prediction, gold) == (em, f1)


def test_best_of_several_right_answers_and_none_of_the_blank_ones():
    assert best_score("12 yards", ["13", "12", " "]) == (0, 66.67)
    assert best_score("12", ["twelve", "12"]) == (1, 100)


gains = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(st.integers(0, 9).map(float), min_size=columns, max_size=columns), min_size=1, max_size=4
    )
)


@given(gains)
def test_alignment_is_the_best_of_all(gain_RC):
    rows, columns = len(gain_RC), len(gain_RC[0])
    wide = gain_RC if rows <= columns else [list(row) for row in zip(*gain_RC, strict=True)]
    every = itertools.permutations(range(len(wide[0])), len(wide))
    assert best_sum(gain_RC) == max(sum(row[j] for row, j in zip(wide, order, strict=True)) for order in every)


def test_no_spans_align_to_nothing():
    assert best_sum([]) == best_sum([[]]) == 0
