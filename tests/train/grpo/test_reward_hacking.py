import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.train.grpo.reward_hacking import change, reward_hacking

RISING, FALLING = [0.1, 0.12, 0.11, 0.5, 0.7, 0.72, 0.71], [0.9, 0.88, 0.91, 0.6, 0.3, 0.32, 0.31]


def test_a_proxy_that_rises_while_the_held_out_value_falls_is_told() -> None:
    told = reward_hacking(RISING, FALLING, window=3)
    assert reward_hacking(RISING, FALLING, window=0) is None
    assert told == "the reward model's score rose by 0.600 while the held-out rule's fell by 0.587"


@pytest.mark.parametrize(
    ("proxy", "held_out"),
    [(RISING, RISING), (FALLING, FALLING), (FALLING, RISING), (RISING[:5], FALLING[:5]), (RISING, [0.5] * 7)],
)
def test_anything_else_goes_on(proxy: list[float], held_out: list[float]) -> None:
    assert reward_hacking(proxy, held_out, window=3) is None


@given(st.lists(st.floats(0, 1), min_size=4, max_size=30))
def test_a_change_of_the_reverse_is_the_reverse(values: list[float]) -> None:
    forward, error = change(values, 2)
    back, same_error = change(values[::-1], 2)
    assert forward == pytest.approx(-back, abs=1e-12)
    assert error == pytest.approx(same_error)


@given(st.floats(0, 1), st.integers(2, 5))
def test_what_stands_still_is_not_hacked(value: float, window: int) -> None:
    assert reward_hacking([value] * 20, [value] * 20, window=window) is None
