"""What a fork does for `maths.py` and `puzzle.py`: math-verify's and reasoning-gym's word on one answer.

What the answers to come have in common is taken in first (`hold`), without their deadline: the right answer in
math-verify's form, or a data set of reasoning-gym. None of it is run in the process that trains.
"""

import importlib
import importlib.abc
import importlib.machinery
import json
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from afterbase.verify import guarded_eval
from afterbase.verify.mathematics.equivalence import same

OUT_OF_MEMORY = b'{"error": "MemoryError"}'
_NO_CLOCK: Any = None  # whoever started this process ends it in time; math-verify's types know no such thing
_GAMMA = re.compile(r"\\[gG]amma(?![a-zA-Z])(?!\s*(?:\\left\s*)?\()|γ")
_PERCENT = re.compile(r"(?<=\d)(?=(?:percent|percentage|pct)\b)")
_WARM = (  # parser and algebra learn as they go, and a fork forgets what it has learnt; pairs, equal or nearly
    *(("3x^2 + 2x - 7", "2x + 3x^2 - 7"), ("12x^2 + 5x - 7", "x(12x + 5) - 7"), ("x^2 - 1", "(x + 1)(x - 1)")),
    *(("x^3 - 2x + 1", "x^3 - 2x + 2"), (r"\frac{x + 1}{2}", r"\frac{1}{2}x + \frac12"), ("2ab + b^2", "b(2a + b)")),
    *((r"\frac{1}{x - 1}", r"-\frac{1}{1 - x}"), (r"x\sqrt{3} + 1", r"1 + \sqrt{3} x"), (r"\sin^2(t)", r"\cos(2t)")),
    *((r"(-\infty, 2) \cup [3, \infty)", r"x < 2 \text{ or } x \ge 3"), (r"[0, 1)", r"0 \le x < 1"), ("e^{-2t}", "1")),
    *((r"\{x, 2\}", r"\{2, x\}"), ("y = 2x + 1", "2x + 1"), ("x = -1, y = 2", "(-1, 2)"), (r"\log_2 8", r"\ln x")),
    *((r"\begin{pmatrix} 1 & x \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"), ("n!", "n(n - 1)")),
    *((r"\binom{n}{k}", "2^{n}"), ("3 + 4i", r"\frac{3\pi}{4}"), (r"50\%", "1.5")),
    *((r"\text{even}", "a_1"), ("|x|", "x")),
)


def _spelled(text: str) -> str:
    """The text without two spellings that math-verify reads amiss: 28percent, and the letter gamma.

    It takes gamma for Euler's constant, so that gamma = 3 and gamma = 4 are both false, and thus equal. A letter that
    no answer has stands in for it.
    """
    return _PERCENT.sub(" ", _GAMMA.sub(r"\\mho ", text))


def _parsed(text: str) -> list[Any]:
    from math_verify import parse

    return parse(f"${_spelled(text)}$", parsing_timeout=_NO_CLOCK, raise_on_error=True)


def _compare(expected: list[Any], request: dict[str, Any]) -> dict[str, Any]:
    """Whether the box is worth the same as the answer; a box that cannot be read, or stops the comparison, is not."""
    from math_verify import verify

    from afterbase.verify.mathematics.identity import agree

    gold, box = request["texts"]
    decided = same(gold, box, agree)
    if decided is not None:
        return {"match": decided}
    try:
        got = _parsed(request["box"])
    except Exception:
        return {"match": False}
    return {"match": verify(expected, got, timeout_seconds=None)}


def _worth(found: Any) -> Any:
    """What was found, with whole numbers of percent as the fractions that they are."""
    from sympy import Mul, Rational, UnevaluatedExpr, preorder_traversal

    hundredth = UnevaluatedExpr(Rational(1, 100))
    if isinstance(found, str) or not found.has(hundredth):
        return found
    percents = [
        part
        for part in preorder_traversal(found)
        if isinstance(part, Mul) and part.args[1:] == (hundredth,) and part.args[0].is_Integer
    ]
    return found.xreplace({part: part.doit() for part in percents})


def _texts(_: None, request: dict[str, Any]) -> dict[str, Any]:
    """Whether the answers that math-verify finds in two texts are worth the same, under its own options.

    By worth alone: 28 % is 0.28, and not 28, which math-verify takes for it since 0.9 (and 100 % for 1 no longer).
    """
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify

    ways = {"latex": LatexExtractionConfig(), "expr": ExprExtractionConfig(), "string": StringExtractionConfig()}
    chosen = [ways[name] for name in request["match_types"]]
    gold, pred = (
        [_worth(found) for found in parse(_spelled(request[side]), chosen, parsing_timeout=_NO_CLOCK)]
        for side in ("gold", "pred")
    )
    options = {name: request[name] for name in ("strict", "float_rounding", "allow_set_relation_comp")}
    return {"match": verify(gold, pred, timeout_seconds=None, **options)}


def _own_form(dataset: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Which form of the entry gives its own answer full marks, and whether nonsense gets them, too.

    -1 for none. JSON knows no tuples, some scorers do. One scorer asks no more of an answer than that it is not empty.
    """
    entry = request["entry"]
    scores = (_marks(dataset, entry["answer"], form(entry)) for form in _FORMS)
    own = next((number for number, score in enumerate(scores) if score == 1.0), -1)
    if entry["answer"] is None:
        own = 0  # any answer that the scorer accepts
    return {"form": own, "gullible": any(_marks(dataset, text, _FORMS[own](entry)) == 1.0 for text in _NONSENSE)}


def _marks(dataset: Any, answer: Any, entry: dict[str, Any]) -> float:
    try:
        return float(dataset.score_answer(answer, entry))
    except Exception:  # many scorers raise on malformed answers
        return 0.0


def _score(dataset: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The data set's own score, in [0, 1]."""
    return {"score": float(dataset.score_answer(request["answer"], _FORMS[request["form"]](request["entry"])))}


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_tuples(below) for key, below in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


_NONSENSE = ("%%%", "zzyzx")
_FORMS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (dict, _as_tuples)
_ANSWERS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "compare": _compare,
    "texts": _texts,
    "form": _own_form,
    "score": _score,
}


def hold(request: dict[str, Any]) -> tuple[Any, bytes]:
    """The right answer read, or the data set made; {"error": type} where that raised, {"readable": false} for none."""
    try:
        if request["kind"] == "gold":
            held = _parsed(request["answer"])
        else:
            import reasoning_gym

            held = reasoning_gym.create_dataset(request["dataset"], size=1, seed=0)
    except Exception as error:
        return None, json.dumps({"error": type(error).__name__}).encode()
    return held, json.dumps({"readable": request["kind"] != "gold" or bool(held)}).encode()


def answer(held: Any, request: dict[str, Any]) -> bytes:
    """What is asked, as JSON; {"error": type} where the verifier raised."""
    try:
        return json.dumps(_ANSWERS[request["kind"]](held, request)).encode()
    except Exception as error:
        return json.dumps({"error": type(error).__name__}).encode()


def load(kind: str) -> None:
    """Import what the kind needs, let it warm up, and from then on let nothing be evaluated unseen."""
    if kind == "maths":
        from math_verify import verify

        from afterbase.verify.mathematics.identity import agree

        for pair in _WARM:
            for gold, box in (pair, pair[::-1]):
                same(gold, box, agree)
                verify(_parsed(gold), _parsed(box), timeout_seconds=None)
    else:
        sys.meta_path.insert(0, _NoDrawing())
        importlib.import_module("reasoning_gym")
        sympy = importlib.import_module("sympy")
        sympy.simplify(sympy.parse_expr("x**2 + 2*x + sin(x)").diff("x") - sympy.parse_expr("1/x"))
    guarded_eval.install()


class _NoDrawing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands for matplotlib, which no scorer uses and importing them imports: half a second, a folder in /tmp."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        drawing = name.partition(".")[0] in ("matplotlib", "mpl_toolkits")
        return importlib.machinery.ModuleSpec(name, self) if drawing else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Nothing(spec.name)

    def exec_module(self, module: types.ModuleType) -> None: ...


class _Nothing(types.ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> "_Nothing":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing(f"{self.__name__}.{name}")
