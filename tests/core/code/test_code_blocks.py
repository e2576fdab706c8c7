import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.code.code_blocks import programs

PROGRAM = "a, b = map(int, input().split())\nprint(a + b)\n"
TAGGED = ["python", "Python", "py", "python3", "Python 3", 'python title="x"', "{.python}", "py,linenos", "python3.11"]
ASIDE = [
    "",
    "Here it is.\n\n",
    "For the sample it prints:\n```\n3\n```\n\n",
    "```text\n3\n```\n",
    "```cpp\nint x;\n```\n",
]
FENCES = [("```", "```"), ("````", "````"), ("~~~", "~~~"), ("```", "`````")]


@given(
    tag=st.sampled_from(["", *TAGGED]),
    before=st.sampled_from(ASIDE),
    after=st.sampled_from(ASIDE),
    fence=st.sampled_from(FENCES),
    indent=st.sampled_from(["", "  ", "    ", "\t"]),
    end=st.sampled_from(["\n", "\r\n"]),
    thought=st.sampled_from(["", "<think>\n```python\nprint(0)\n```\n</think>\n", "```python\nprint(0)\n</think>"]),
)
def test_the_program_is_found_in_all_its_dresses(tag, before, after, fence, indent, end, thought):
    block = f"{fence[0]}{tag}\n{PROGRAM}{fence[1]}\n"
    shown = "".join(f"{indent}{line}\n" for line in block.splitlines())
    response = thought + (before + shown + after).replace("\n", end)
    assert programs(response, ["python", "py", "python3"])[-1].replace("\r\n", "\n") == PROGRAM


@pytest.mark.parametrize("tag", ["", "python"])
def test_a_block_that_nothing_closes_is_one(tag):
    assert programs(f"So:\n```{tag}\n{PROGRAM}", ["python"]) == [PROGRAM]


@pytest.mark.parametrize(
    "response",
    [
        "print(1)",
        "```json\n1\n```",
        "<think>\n```python\nprint(0)\n```\n",
        '"""As in\n\n```python\nf()\n```\n"""\nprint(1)',
        "```print(1)```",
        "x\n```",
    ],
)
def test_nothing_else_is_a_block(response):
    assert programs(response, ["python"]) == []


def test_one_block_of_markdown_holds_the_answer():
    assert programs(f"````markdown\nSo:\n```python\n{PROGRAM}```\n````", ["python"]) == [PROGRAM]


def test_prose_that_speaks_of_comments_holds_no_block():
    assert programs(f'See src/*.py and """:\n```python\n{PROGRAM}```\n', ["python"]) == [PROGRAM]


def test_entities_stay():
    assert programs("```python\nprint('&lt;')\n```", ["python"]) == ["print('&lt;')\n"]
