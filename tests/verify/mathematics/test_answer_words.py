import pytest

from afterbase.verify.mathematics.answer_words import same_words


@pytest.mark.parametrize(
    ("right", "got", "expected"),
    [
        ("Yes", "yes", True),
        ("Yes", "No", False),
        ("June 20", "June 21", False),
        (r"\text{June }20", "june 20", True),
        ("Alice and Bob", "Bob, Alice", True),
        ("the hyperbola", "hyperbola", True),
        ("C", r"\text{(C)} 5", True),
        ("5:30", r"5:30 \text{ p.m.}", True),
        ("5:05", "5:05 am", True),
        ("5:05 pm", "5:05 am", False),
        *[("Yes", "-Yes", False), (r"\emptyset", "no solution", True)],
        *[("no solution", "The equation has no solution", True), ("dne", "does not exist", True)],
        *[("no real solutions", "no solution", True), ("3 pm", "15:00", True), ("3:30 pm", "3:30 am", False)],
        *[("June 20, 2020", "20 June 2020", True), ("June 20", "July 20", False), ("3:4", "15:20", None)],
        ("x+1", "Yes", None),
        ("7", "seven", None),
        ("AB", "BA", None),
    ],
)
def test_words_are_compared_as_words(right: str, got: str, expected: bool | None) -> None:
    assert same_words(right, got) is expected
