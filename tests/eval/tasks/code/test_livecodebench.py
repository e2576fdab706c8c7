"""How a program is judged: by what it prints, or by what its method returns."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.eval.tasks.code import livecodebench
from afterbase.eval.tasks.task import Item
from afterbase.sandbox.programs import Case


@pytest.fixture(autouse=True)
def isolated():
    lack = livecodebench.isolation()
    if lack is not None:
        pytest.skip(f"needs {lack}")


def reason(program, tests, method=None):
    item = Item(id="", prompt="", question="", gold=(method, tuple(Case(*test) for test in tests)))
    (mark,) = livecodebench.score([(item, f"```python\n{program}\n```")])
    assert (mark.value == 1) == (mark.reason == "match")
    return mark.reason


@pytest.mark.parametrize(
    ("program", "printed", "said"),
    [
        ("print(sorted(Counter('aab').items()), gcd(4, 6))", "[('a', 2), ('b', 1)] 2", "match"),
        ("from __future__ import annotations\nprint(1)", "1", "match"),
        ("def f(n): return n and 1 + f(n - 1)\nprint(f(20000))", "20000", "match"),
        ("if __name__ == '__main__': print(1)", "1", "match"),
        ("print(1)\nsys.exit(3)", "1", "match"),
        ("print(1)\nexit()", "1", "match"),
        ("print(1)\n1 / 0", "1", "crash"),
        ("print('1.50 2')\nprint(' 3 ')", "1.5 2.0\n3", "match"),
        ("print(0.1 + 0.2)", "0.3", "mismatch"),
        ("print('1,0')", "1", "mismatch"),
        ("print('1\\n\\n2')", "1\n2", "mismatch"),
        ("print('nan')", "nan", "match"),
        ("print('YES')", "yes", "mismatch"),
        ("print(", "1", "crash"),
    ],
)
def test_what_a_program_prints(program, printed, said):
    assert reason(program, [("", printed)]) == said


@pytest.mark.parametrize(
    ("body", "expected", "said"),
    [
        ("return (1, 2)", "[1, 2]", "match"),
        ("return [(1, 2)]", "[[1, 2]]", "mismatch"),
        ("return {1: 2}", '{"1": 2}', "mismatch"),
        ("return Counter('a')", '{"a": 1}', "match"),
        ("return 2 ** 100", str(2**100), "match"),
        ("return 10 ** 5000", "1", "mismatch"),
        ("return object()", "null", "mismatch"),
        ("return None", "null", "match"),
        ("return deque([1])", "[1]", "mismatch"),
        ("a = []\n        a.append(a)\n        return a", "[]", "crash"),
        ("import os\n        os._exit(0)", "1", "mismatch"),
        ("while True: pass", "1", "timeout"),
    ],
)
def test_what_a_method_returns(body, expected, said, monkeypatch):
    monkeypatch.setattr(livecodebench, "_SECONDS", 1)
    assert reason(f"class Solution:\n    def f(self, a):\n        {body}", [("1", expected)], "f") == said


def test_one_object_gets_all_calls():
    program = "class Solution:\n    n = 0\n    def f(self, a):\n        self.n += 1\n        return self.n"
    assert reason(program, [("7", "1"), ("7", "2")], "f") == "match"


def test_names_of_the_program_hide_none_of_ours():
    program = "print('at once')\nlist = str = isinstance = json = None\ndef f(a, b):\n    return [a, b]"
    assert reason(program, [("1\n2", "[1, 2]")], "f") == "match"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)


@given(values, values)
def test_results_are_equal_as_in_python(one, other):
    names = {}
    exec(
        livecodebench._CALLS.format(method="", solution=False, mark="", seconds=1, wall=1).partition("def _call")[0],
        names,
    )
    told = json.dumps(names["_plain"](one))
    assert livecodebench._returns(told, json.dumps(one))
    assert livecodebench._returns(told, json.dumps(other)) == (one == other)
