"""The child of the slow verifiers: math-verify (`maths`) or reasoning-gym (`puzzle`), one line of JSON a question.

It keeps no deadline: whoever asks kills it. Memory is limited here, so that a tower of powers ends in an exception
rather than in the machine's memory.
"""

import contextlib
import functools
import json
import os
import re
import resource
import sys
from collections.abc import Callable
from typing import Any

_MEMORY_BYTES = 4 << 30
_NO_CLOCK: Any = None  # whoever started this process ends it in time; math-verify's types know no such thing
_GAMMA = re.compile(r"\\[gG]amma(?![a-zA-Z])(?!\s*(?:\\left\s*)?\()|γ")
_PERCENT = re.compile(r"(?<=\d)(?=(?:percent|percentage|pct)\b)")


def _spelled(text: str) -> str:
    """The text without two spellings that math-verify reads amiss: 28percent, and the letter gamma.

    It takes gamma for Euler's constant, so that gamma = 3 and gamma = 4 are both false, and thus equal. A letter that
    no answer has stands in for it.
    """
    return _PERCENT.sub(" ", _GAMMA.sub(r"\\mho ", text))


@functools.lru_cache(maxsize=4096)
def _parsed(text: str) -> list:
    from math_verify import parse

    return parse(f"${_spelled(text)}$", parsing_timeout=_NO_CLOCK, raise_on_error=True)


def gold(question: dict[str, Any]) -> dict[str, Any]:
    """Whether the right answer itself can be read."""
    return {"readable": bool(_parsed(question["answer"]))}


def compare(question: dict[str, Any]) -> dict[str, Any]:
    """Whether the box is worth the same as the answer; a box that cannot be read, or stops the comparison, is not."""
    from math_verify import parse, verify

    expected = _parsed(question["answer"])
    try:
        got = parse(f"${_spelled(question['box'])}$", parsing_timeout=_NO_CLOCK, raise_on_error=True)
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


def texts(question: dict[str, Any]) -> dict[str, Any]:
    """Whether the answers that math-verify finds in two texts are worth the same, under its own options.

    By worth alone: 28 % is 0.28, and not 28, which math-verify takes for it since 0.9 (and 100 % for 1 no longer).
    """
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify

    ways = {"latex": LatexExtractionConfig(), "expr": ExprExtractionConfig(), "string": StringExtractionConfig()}
    chosen = [ways[name] for name in question["match_types"]]
    gold, pred = (
        [_worth(found) for found in parse(_spelled(question[side]), chosen, parsing_timeout=_NO_CLOCK)]
        for side in ("gold", "pred")
    )
    options = {name: question[name] for name in ("strict", "float_rounding", "allow_set_relation_comp")}
    return {"match": verify(gold, pred, timeout_seconds=None, **options)}


@functools.cache
def _dataset(name: str) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(name, size=1, seed=0)


def score(question: dict[str, Any]) -> dict[str, Any]:
    """The dataset's own score, in [0, 1]."""
    return {"score": float(_dataset(question["dataset"]).score_answer(question["answer"], question["entry"]))}


def _load_maths() -> None:
    import math_verify  # noqa: F401


def _load_puzzle() -> None:
    import reasoning_gym  # noqa: F401


_LOAD: dict[str, Callable[[], None]] = {"maths": _load_maths, "puzzle": _load_puzzle}
_QUESTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "gold": gold,
    "compare": compare,
    "texts": texts,
    "score": score,
}


def main() -> None:
    """Answer until the standard input ends; {"error": type} where the verifier raised."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    _LOAD[sys.argv[1]]()
    print('{"ready": true}', file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = _QUESTIONS[question["kind"]](question)
        except Exception as error:
            answer = {"error": type(error).__name__}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
