"""What is evaluated of an answer, and what is not: in processes of their own, since the guard stands for good."""

import json
import os
import subprocess
import sys
from pathlib import Path

RUN = r"""
import json, sys, types
import sympy
scorer = types.ModuleType("a_scorer")
exec('''
secret = "the right answer"
def literal(answer, entry="the right answer"): return repr(eval(answer))
def statements(answer): exec(answer)
def code(answer): return repr(eval(compile(answer, "x", "eval")))
''', scorer.__dict__)
ways = {
    "literal": scorer.literal, "statements": scorer.statements, "code": scorer.code,
    "formula": lambda text: str(sympy.parse_expr(text, local_dict={"x": sympy.Symbol("x")})),
    "unevaluated": lambda text: str(sympy.parse_expr(text, evaluate=False)),
    "sympify": lambda text: str(sympy.sympify(text)),
    "tuples": lambda name: repr(__import__("collections").namedtuple(name, "a b")(1, 2)),
    "module": lambda name: __import__(name).__name__,
}
from afterbase.verify import guarded_eval
guarded_eval.install()
out = []
for way, text in json.load(sys.stdin):
    try:
        out.append(ways[way](text))
    except BaseException as error:
        out.append({"error": type(error).__name__})
print(json.dumps(out))
"""


def evaluated(cases: list[tuple[str, str]], folder: Path) -> list:
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    return json.loads(done.stdout)


def test_values_and_formulas_are_evaluated(tmp_path: Path) -> None:
    cases = {
        ("literal", "[[1, -2], (3, 'a'), {'b': None}]"): "[[1, -2], (3, 'a'), {'b': None}]",
        ("literal", " (0x1f + 2) * 3 "): "99",
        ("formula", "2*x**2 + sin(3*x)/2 + 1.5"): "2*x**2 + sin(3*x)/2 + 1.5",
        ("formula", "(x + 1)**(3/2) + exp(-x**2) + y"): "y + (x + 1)**(3/2) + exp(-x**2)",
        ("unevaluated", "2*3 + 4**5"): "2*3 + 4**5",
        ("sympify", "pi/2 + sqrt(8)"): "pi/2 + 2*sqrt(2)",
        ("tuples", "Pair"): "Pair(a=1, b=2)",
        ("module", "colorsys"): "colorsys",
    }
    assert evaluated(list(cases), tmp_path) == list(cases.values())


DEED = "open('deed', 'w')"


REFUSED = [
    *[
        (way, text)
        for way in ("literal", "code", "formula", "unevaluated", "sympify")
        for text in (
            DEED,
            f"[{DEED}]",
            "__import__('os').mkdir('deed')",
            "().__class__",
            "(lambda: 1)()",
            "[1 for _ in [1]]",
            "f'{1}'",
            "print(1)",
            "getattr(1, 'real')",
            "exec('1')",
            "1 if 1 else 2",
            "(y := 1)",
            "[1][0]",
            "lambdify(x, '1')",
            "Symbol('x').name",
            "sqrt(\"open('deed', 'w')\")",
            "9**9**9",
            "2**(10**9)",
            "Function('f')(1)",
            "S('1')",
        )
    ],
    ("literal", "entry"),
    ("literal", "secret"),
    ("literal", "'%99999999d' % 1"),
    ("code", "1"),
    ("statements", "1"),
    ("statements", "from sympy import *; 1"),
]


def test_all_else_is_refused_before_it_is_run(tmp_path: Path) -> None:
    said = evaluated(REFUSED, tmp_path)
    # A power that is not evaluated is a formula like another: the fork's limits are what ends its evaluation.
    powers = [("unevaluated", text) for text in ("9**9**9", "2**(10**9)")]
    ran = [case for case, what in zip(REFUSED, said, strict=True) if not isinstance(what, dict)]
    others = {what["error"] for what in said if isinstance(what, dict)} - {
        "RefusedError",
        "SympifyError",
        "SyntaxError",
    }
    assert (ran, others, list(tmp_path.iterdir())) == (powers, set(), [])
