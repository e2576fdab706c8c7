from collections.abc import Iterator

import pytest

from afterbase.core.sample import Status
from afterbase.sandbox.python_calls import CallRunner
from afterbase.verify.python_code import Item, check_python_many, same

TESTS = [{"args": [[1, 2]], "expected": [2, 4]}, {"args": [[]], "expected": []}]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[CallRunner]:
    with CallRunner() as sandbox:
        yield sandbox


def fenced(body: str) -> str:
    return f"So:\n```python\n{body}\n```"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def f(xs):\n    return [2 * x for x in xs]", "match"),
        ("def f(xs):\n    return tuple(2.0 * x for x in xs)", "match"),
        ("def f(xs):\n    return [2, 4]", "mismatch"),
        ("def f(xs):\n    return [str(x) for x in xs]", "mismatch"),
        ("class Yes:\n    def __eq__(self, other):\n        return True\ndef f(xs):\n    return Yes()", "mismatch"),
        ("class L(list):\n    def __eq__(self, other):\n        return True\ndef f(xs):\n    return L(xs)", "mismatch"),
        ("def f(xs)\n    return xs", "compile"),
        ("def g(xs):\n    return xs", "crash"),
        ("def f(xs):\n    return xs[0]", "crash"),
    ],
)
def test_every_test_must_pass(sandbox: CallRunner, body: str, reason: str) -> None:
    verdict = check_python_many([Item(fenced(body), "f", TESTS)], sandbox)[0]
    status = Status.OK if reason == "match" else Status.WRONG
    assert (verdict.status, verdict.reason, verdict.value) == (status, reason, float(reason == "match"))


@pytest.mark.parametrize(
    "use", ["assert f([1]) == [3]", "# Example\nprint(f([1]))", "def main():\n    print(f([1]))\nmain()"]
)
def test_a_block_behind_it_that_uses_the_function_is_not_the_answer(sandbox: CallRunner, use: str) -> None:
    right, wrong = "def f(xs):\n    return [2 * x for x in xs]", "def f(xs):\n    return xs"
    for bodies, value in (([right, use], 1.0), ([right, wrong, use], 0.0), ([wrong, right, use], 1.0)):
        response = "\nThen:\n".join(map(fenced, bodies))
        assert check_python_many([Item(response, "f", TESTS)], sandbox)[0].value == value


def test_a_batch_keeps_its_order(sandbox: CallRunner) -> None:
    right, wrong = fenced("def f(xs):\n    return [2 * x for x in xs]"), fenced("def f(xs):\n    return xs")
    responses = [right, "no code", wrong, right, "no code"]
    verdicts = check_python_many([Item(response, "f", TESTS) for response in responses], sandbox)
    assert [v.reason for v in verdicts] == ["match", "no_code", "mismatch", "match", "no_code"]


@pytest.mark.parametrize(
    ("got", "expected", "equal"),
    [
        (2, 2.0, True),
        (True, 1, False),
        (0, False, False),
        ([1, [True]], [1, [True]], True),
        ([1, [True]], [1, [1]], False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, 2], [1, 2, 3], False),
        ("1", 1, False),
        ([], {}, False),
        (None, None, True),
        (None, False, False),
    ],
)
def test_values_are_compared_as_json(got: object, expected: object, equal: bool) -> None:
    assert same(got, expected) is equal
