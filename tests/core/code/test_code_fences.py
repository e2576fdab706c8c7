import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.code.code_fences import fenced

lines = st.lists(st.text(st.characters(exclude_characters="`~\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")), max_size=4)


@given(
    before=lines, inside=lines, after=lines, mark=st.sampled_from("`~"), size=st.integers(3, 6), more=st.integers(0, 2)
)
def test_a_block_is_found_whatever_stands_around_it(before, inside, after, mark, size, more):
    text = "".join(f"{line}\n" for line in inside)
    opening, closing = mark * size + "py", mark * (size + more)
    around = ["".join(f"{line}\n" for line in part) for part in (before, after)]
    (block,) = fenced(f"{around[0]}{opening}\n{text}{closing}\n{around[1]}")
    assert (block.info, block.text, block.closed) == ("py", text, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```py\na\n```", [("py", "a\n", True)]),
        ("```py\na", [("py", "a", False)]),
        ("```", [("", "", False)]),
        ("````md\n```py\na\n```\n````", [("md", "```py\na\n```\n", True)]),
        ("~~~py\n```\n~~~", [("py", "```\n", True)]),
        ("```py\n~~~\n```", [("py", "~~~\n", True)]),
        ("```py\na\n``", [("py", "a\n``", False)]),
        ("```py\na\n```x\nb\n```", [("py", "a\n```x\nb\n", True)]),
        ("```a`b\n", []),  # code in a line
        ("~~~a`b\nc\n~~~", [("a`b", "c\n", True)]),
        ("x ```py\na\n", []),
        ("  ```py\n  a\n    b\n  ```", [("py", "a\n  b\n", True)]),
        ("1. So:\n   ```py\n   a\n   ```\n2. Done", [("py", "a\n", True)]),
        ("- ```py\n  a\n  ```", [("py", "a\n", True)]),
        ("\t```py\n\ta\n\t```", [("py", "a\n", True)]),
        ("> ```py\n> a\n> ```", [("py", "a\n", True)]),
        ("```py\n'''\n    ```\n    '''\n```", [("py", "'''\n    ```\n    '''\n", True)]),
        ("```py\r\na\r\n```\r\n", [("py", "a\r\n", True)]),
        ("```py\n```\n```js\nb\n```", [("py", "", True), ("js", "b\n", True)]),
    ],
)
def test_commonmark(text, expected):
    assert [(block.info, block.text, block.closed) for block in fenced(text)] == expected


@pytest.mark.parametrize(
    ("info", "tag"),
    [
        ('python title="x"', "python"),
        ("Python 3", "python"),
        ("{.python}", "python"),
        ("{.python .numbers}", "python"),
        ("py,linenos", "py"),
        ("python:main.py", "python"),
        ("c++", "c++"),
        ("C#", "c#"),
        ("", ""),
    ],
)
def test_the_tag_is_the_first_word_of_the_info_string(info, tag):
    (block,) = fenced(f"```{info}\na\n```")
    assert block.tag == tag


@pytest.mark.parametrize("info", ["python3.11", "python3", "Python", "c++17", "C++"])
def test_a_release_does_not_part_a_tag_from_its_language(info):
    (block,) = fenced(f"```{info}\na\n```")
    assert block.is_in(("python", "c++"))
    assert not block.is_in(("java",))
