import pytest

from afterbase.verify.mathematics.words import same_words


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
        ("x+1", "Yes", None),
        ("7", "seven", None),
        ("AB", "BA", None),
    ],
)
def test_words_are_compared_as_words(right: str, got: str, expected: bool | None) -> None:
    assert same_words(right, got) is expected
