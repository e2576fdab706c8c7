import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.repetition import RUN, looping_share, repeated_share, repetition_rate

FRESH = (
    "First we add the two numbers, which gives twelve. Then we divide by the number of apples, so that each child gets "
    "three of them. Last, we check: four children with three apples each have twelve apples, as they should."
)


def test_a_plain_argument_repeats_nothing() -> None:
    assert repetition_rate(FRESH) == 0.0
    assert repetition_rate("") == repetition_rate("Yes.") == 0.0


def test_a_loop_at_the_end_is_seen_however_long_its_lap() -> None:
    for lap in ("wait, ", "So we get x. Let me check again. ", FRESH + " "):
        text = FRESH + " " + lap * 40
        assert looping_share(text) == pytest.approx(len(lap) * 40 / len(text), abs=0.15)
        assert repetition_rate(text) > 0.4
    assert looping_share(FRESH * 2) == 0.0  # said twice is no loop, but stood before
    assert repeated_share(FRESH * 2) == pytest.approx(0.5, abs=0.1)


def test_a_loop_that_is_cut_off_is_one() -> None:
    assert looping_share(("the sum of all of these is twelve and " * 5)[:-20]) == pytest.approx(1.0)


def test_a_loop_that_was_left_is_repetition_still() -> None:
    assert looping_share("again and again and " * 20 + FRESH) == 0.0
    assert repetition_rate("again and again and " * 20 + FRESH) > 0.4


def test_text_without_spaces_is_measured() -> None:
    assert repetition_rate("因此答案是三。" * 10) == repetition_rate("a" * 1000) == repetition_rate("=" * 100) == 1.0
    assert repetition_rate("我们先把两个数相加得到十二，再除以苹果的个数，每个孩子得到三个。") == 0.0


@given(st.lists(st.sampled_from("ab"), max_size=60).map(" ".join))
def test_shares_are_shares(text: str) -> None:
    assert 0 <= repeated_share(text, run=3) <= 1
    assert 0 <= looping_share(text) <= 1
    assert 0 <= repetition_rate(text) <= 1


@given(st.lists(st.integers(0, 9).map(str), min_size=RUN, max_size=40).map(" ".join))
def test_more_of_the_same_repeats_no_less(text: str) -> None:
    assert repetition_rate((text + " ") * 4) >= repetition_rate(text) - 1e-9


@pytest.mark.parametrize("unit", ["a", "ab ", "因此", "a b c d e f g h i j k l m n ", "\n"])
def test_megabytes_take_time_in_proportion(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert repetition_rate(text) in (0.0, 1.0)
