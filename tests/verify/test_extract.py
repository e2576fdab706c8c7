import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from afterbase.core.code.code_blocks import last_block
from afterbase.verify.extract import after_answer_is, extract, last_boxed, last_number

balanced = st.recursive(
    st.text("ab \\{}1", max_size=5).filter(lambda s: not set(s) & set("\\{}")),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "".join(f"x{{{part}}}" for part in parts)),
)


@given(before=st.text(), inside=balanced, after=st.text().filter(lambda s: "\\boxed" not in s and "\\fbox" not in s))
def test_the_box_is_found_whatever_stands_around_it(before: str, inside: str, after: str) -> None:
    assume(inside.strip() or ("\\boxed" not in before and "\\fbox" not in before))
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
        (r"\boxed 5", "5"),
        (r"$\boxed 42$ is it", "42"),
        (r"\boxed 42 is it", "42"),
        (r"\boxed 3.5.", "3.5"),
        (r"\(\boxed -4\)", "-4"),
        (r"$\boxed4x$", "4x"),
        (r"$\boxed\frac{1}{2}$.", r"\frac{1}{2}"),
        (r"$\boxed\frac12$", r"\frac12"),
        (r"\boxed", None),
        (r"$\boxed$ 5", None),
        (r"\boxed {5}", "5"),
        ("\\boxed\n{5}", "5"),
        (r"$\fbox{12}$ is it", "12"),
        (r"\boxed{3}, no: \fbox{4}", "4"),
        (r"\boxedx{3}", None),
        (r"\boxed{5}, as it stands in \boxed{}.", "5"),  # an empty one says nothing
        ("\\boxed{5}\n\n\\boxed{ }\n\\fbox{}", "5"),
        (r"\boxed{5} \boxed{", None),
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
        ("```\nx = 1\n```", "x = 1\n"),
        ("x = 1", None),
    ],
)
def test_python_blocks(response: str, block: str | None) -> None:
    assert last_block(response, ["python"]) == block


@pytest.mark.parametrize(
    ("response", "number"),
    [
        ("0 - 4 = -4", "-4"),
        ("So 5-3", "3"),
        ("x - 3", "3"),
        ("(2) - 3", "3"),
        ("It is −7.", "-7"),
        ("about 1,234.50 in all.", "1,234.50"),
        ("from 1, 2", "2"),
        ("between 3 and -5", "-5"),
        ("none", None),
        ("", None),
    ],
)
def test_the_last_number(response: str, number: str | None) -> None:
    assert last_number(response) == number


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 4.", "4"),
        ("The final answer is: $3.5$. I hope it helps.", "3.5"),
        ("Answer: blue whale\nbecause", "blue whale"),
        ("The answer is 1. No, the answer is 2", "2"),
        ("**Answer:** x", "x"),
        ("I do not know", None),
        ("the answer is", None),
        ("### Answer\n7", "7"),
        ("**Final Answer**\n\n$7$\n", "7"),
        ("The answer is 42, because 6 * 7 = 42", "42"),
        ("The answer is 42 (since 6 * 7 = 42).", "42"),
        ("The answer is open since 1990.", "open since 1990"),
        ('The answer is "7".', "7"),
        ("The answer is not 41 but 42.", "42"),
        ("The answer is not 8.", "not 8"),
        ("答案是7", "7"),
        ("答案是：7。", "7"),
        ("最终答案为 12", "12"),
        ("所以答案是$\\frac{1}{2}$。", "\\frac{1}{2}"),
        ("故答案为：-3", "-3"),
        ("答案：3.5", "3.5"),
        ("答案为5，因为2+3=5", "5"),
        ("答案应该是“巴黎”。", "巴黎"),
        ("答案不是7", None),
        ("答案是6。不对，答案是7。", "7"),
    ],
)
def test_what_is_called_the_answer(response: str, answer: str | None) -> None:
    assert after_answer_is(response) == answer


def test_the_first_way_that_finds_an_answer_decides() -> None:
    assert extract(r"\boxed{1}, so the answer is 2, not 3", ["box", "last_number"]) == "1"
    assert extract("so the answer is 2, not 3", ["box", "last_number"]) == "3"
    assert extract("so the answer is 2", ["box"]) is None


@given(st.text())
def test_every_text_is_searched(text: str) -> None:
    number = last_number(text)
    assert number is None or number.replace("-", "−") in text or number in text


@pytest.mark.parametrize(
    ("response", "block"),
    [
        ("First:\n```js\na\n```\nbetter:\n```JavaScript\nb\n```\nDone.", "b\n"),
        ("```js\nb\n```\n```python\nc\n```", "b\n"),
        ("\n```\nb\n```\n", "b\n"),  # alone, it needs no tag
        ("see\n```\nb\n```\n", "b\n"),
        ("```python\nc\n```", None),
        ("```js\r\nb\r\n```\r\n", "b\r\n"),
        ("```json\nb\n```", None),
        ("```js\n```", ""),
        ("```js\nb", "b"),  # nothing closes it
        ("", None),
    ],
)
def test_blocks_of_a_language(response: str, block: str | None) -> None:
    assert last_block(response, ["js", "javascript"]) == block


@pytest.mark.parametrize(
    "program",
    [
        '"""Doubles.\n\n```py\ndouble(1)\n```\n"""\nprint(2)',
        "'''\n```py\n1\n```\n'''\nprint(2)",
        "/* as in\n```py\n1\n```\n*/ int main() {}",
        "cat <<'END'\n```py\n1\n```\nEND\n",
        "<?php echo <<<END\n```py\n1\n```\n  END;\n",
    ],
)
def test_a_block_in_a_text_or_a_comment_of_a_program_is_none(program: str) -> None:
    assert last_block(program, ["py"]) is None
    assert last_block(f"So:\n```py\n{program}\n```", ["py"]) is not None


@pytest.mark.parametrize("prose", ['"""a""" doubles', "/* and */ begin and end", "cat <<END\nEND\n", "cout << x"])
def test_what_is_closed_before_a_block_holds_it_not(prose: str) -> None:
    assert last_block(f"{prose}\n```py\n1\n```\n", ["py"]) == "1\n"


@pytest.mark.parametrize("line", ["```py\n", "x\n```\n", "`", " ", "```py", "<<A\n```py\n", '"""\n```py\n'])
def test_a_megabyte_of_openings_is_read_in_linear_time(line: str) -> None:
    """One that starts over at each of them is not done within the hour."""
    text = line * (1_000_000 // len(line))
    assert last_block(text, ["py"]) in (None, "x\n", text.partition("```py\n")[2])


@pytest.mark.parametrize(
    "piece",
    ["\\boxed", "\\boxed ", "\\boxed{}", "\\boxed{", "\\boxed x", "\\fbox\n", "answer", "答案", "answer is not "],
)
def test_a_megabyte_of_boxes_and_answers_is_read_in_linear_time(piece: str) -> None:
    """One that starts over at each of them is not done within the hour."""
    text = f"\\boxed{{5}} answer: 7. {piece * (1_000_000 // len(piece))}\n \\boxed{{6}} answer: 8."
    assert (last_boxed(text), after_answer_is(text)) == ("6", "8")
    assert last_boxed(text[: text.rindex("\\boxed")]) != "6"


def test_signs_in_a_tag_are_taken_as_they_are() -> None:
    assert last_block("```c++\nx\n```", ["c++"]) == "x\n"
    assert last_block("```cpp\nx\n```", ["c++"]) is None


@pytest.mark.parametrize("run", ["(", " ", ", ", "; ("])
def test_long_runs_before_a_reason_take_no_time_of_their_square(run: str) -> None:
    """A million characters: in a time that grows with the square, this test would not end."""
    words = "x" + run * (1_000_000 // len(run)) + "x"
    assert after_answer_is(f"The answer is {words}") == words
