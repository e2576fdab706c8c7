import pytest

from afterbase.core.code.code_lines import is_code, without_code


@pytest.mark.parametrize(
    "line",
    [
        "def f(x):",
        "    return x + 1",
        "import numpy as np",
        "from a.b import c, d",
        "for (int i = 0; i < n; i++) {",
        "SELECT name FROM users WHERE age > 30;",
        'print("the answer is correct")',
        "if x > 3:",
        "else:",
        "const total = items.length;",
        "pip install torch",
        "}",
    ],
)
def test_code_has_a_shape(line: str) -> None:
    assert is_code(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "If it rains, we stay at home:",
        "For example, this is a sentence; it ends here;",
        "Return the book to the library, please.",
        "from Paris with love",
        "Let us define the class of all sets.",
        "print this page",
        "make sure that we go",
        "Wir gehen nach Hause;",
        "因此答案是三。",
    ],
)
def test_sentences_are_none(line: str) -> None:
    assert not is_code(line)


def test_strings_in_three_quotes_go_with_the_code_that_they_follow() -> None:
    text = 'def f(n):\n    """Return it.\n\n    It is found by adding.\n    """\n    return n\n\nSo this is f.'
    assert without_code(text).strip() == "So this is f."
    assert without_code('def f():\n    """One line."""\nIt is short.').strip() == "It is short."
    assert without_code('"""Quoted text."""') == '"""Quoted text."""'
