import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.extract import last_boxed, last_python_block

balanced = st.recursive(
    st.text("ab \\{}1", max_size=5).filter(lambda s: not set(s) & set("\\{}")),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "".join(f"x{{{part}}}" for part in parts)),
)


@given(before=st.text(), inside=balanced, after=st.text().filter(lambda s: "\\boxed{" not in s))
def test_the_box_is_found_whatever_stands_around_it(before: str, inside: str, after: str) -> None:
    assert last_boxed(f"{before}\\boxed{{{inside}}}{after}") == inside


@pytest.mark.parametrize(
    ("response", "box"),
    [
        ("no box", None),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{1} then \boxed{2", None),  # cut off: an earlier box is not the answer
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{}", ""),
        (r"\boxed 5", None),
    ],
)
def test_boxes(response: str, box: str | None) -> None:
    assert last_boxed(response) == box


@pytest.mark.parametrize(
    ("response", "block"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1\n```\nbetter:\n```python\nx = 2\n```\nDone.", "x = 2\n"),
        ("```python\nx = 1\n```\n```python\nx = 2", "x = 1\n"),
        ("```python\ns = '```'\n```", "s = '```'\n"),
        ("```\nx = 1\n```", None),
        ("x = 1", None),
    ],
)
def test_python_blocks(response: str, block: str | None) -> None:
    assert last_python_block(response) == block
