import pytest
from pydantic import ValidationError

from afterbase.verify.ifeval.instruction import Count, Instruction, Pattern, holds


class _Toy(Instruction):
    word: Pattern
    times: Count

    def followed(self, text: str) -> bool:
        return text == self.word * self.times


def test_relations_part_at_the_threshold() -> None:
    assert [holds(n, "less than", 3) for n in (2, 3, 4)] == [True, False, False]
    assert [holds(n, "at least", 3) for n in (2, 3, 4)] == [False, True, True]


def test_a_good_instruction_is_built() -> None:
    assert _Toy(word="a", times=2).followed("aa")


@pytest.mark.parametrize(
    "kwargs",
    [
        {"word": "a"},
        {"word": "a", "times": -1},
        {"word": "a", "times": "2"},
        {"word": "a", "times": 2.0},
        {"word": "a", "times": True},
        {"word": "a", "times": 2, "more": 1},
        {"word": "(", "times": 2},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(kwargs: dict) -> None:
    with pytest.raises(ValidationError):
        _Toy(**kwargs)
