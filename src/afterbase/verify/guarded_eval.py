"""What third-party scorers may evaluate of an answer: values and formulas, and nothing that could do anything.

Scorers call `eval` on an answer, and sympy's parser does so on what it makes of one. Here `eval`, `exec` and `compile`
are replaced for all modules outside the standard library, so that nothing is evaluated before its syntax tree has been
looked at. sympy's parser may evaluate a formula: numbers, the symbols that its caller names, and calls of a short list
of mathematical functions. Everybody else may evaluate a literal: numbers, strings, lists and the like, with operators
between them. No name of the scorer's own can be read, or an answer could say `entry["answer"]` and be right; and no
attribute, no other call, no lambda, no comprehension, no format string exists in either.

Does not cover: how much a formula costs to evaluate (the fork's limits do), and extension modules that evaluate text.
"""

import ast
import builtins
import sys
from types import CodeType
from typing import Any

_PARSER, _ALL_OF_SYMPY = "sympy.parsing.sympy_parser", "from sympy import *"
_LITERAL = (
    *(ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Load, ast.UnaryOp, ast.unaryop),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.LShift, ast.RShift),
    *(ast.BitAnd, ast.BitOr, ast.BitXor),
)
_MOST_POWER = 1000
_OF_TEXT = {"Symbol", "Float"}
_FUNCTIONS = {
    *(*_OF_TEXT, "Integer", "Rational"),
    *("Add", "Mul", "Pow", "Abs", "sqrt", "cbrt", "root", "exp", "log", "ln", "sign", "Min", "Max"),
    *("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "asec", "acsc", "atan2", "sinc"),
    *("sinh", "cosh", "tanh", "coth", "sech", "csch", "asinh", "acosh", "atanh", "acoth", "asech", "acsch"),
    *("erf", "erfc", "erfi", "Ei", "Si", "Ci", "Shi", "Chi", "li", "Li", "fresnels", "fresnelc"),
}
_CONSTANTS = {"pi", "E", "I", "oo", "zoo", "nan"}

_eval, _exec, _compile = builtins.eval, builtins.exec, builtins.compile
_looked_at: list[CodeType] = []


class RefusedError(ValueError):
    """An answer asks for more than a value."""


def install() -> None:
    """Replace the three in this process, for good."""
    builtins.eval, builtins.exec, builtins.compile = _guarded_eval, _guarded_exec, _guarded_compile


def _guarded_eval(source: Any, given_globals: Any = None, given_locals: Any = None, /) -> Any:
    frame = sys._getframe(1)
    if _standard(frame):
        if given_globals is None:
            return _eval(source, frame.f_globals, frame.f_locals if given_locals is None else given_locals)
        return _eval(source, given_globals, given_globals if given_locals is None else given_locals)
    if isinstance(source, CodeType):
        if not any(source is code for code in _looked_at):
            raise RefusedError("code")
        return _eval(source, given_globals, given_locals)
    if frame.f_globals.get("__name__") != _PARSER:
        return _eval(_checked(source, None), {"__builtins__": {}})
    return _eval(_checked(source, set(given_locals or ())), given_globals, given_locals)


def _guarded_exec(source: Any, given_globals: Any = None, given_locals: Any = None, /, **options: Any) -> None:
    frame = sys._getframe(1)
    if source != _ALL_OF_SYMPY and not _standard(frame):
        raise RefusedError("statements")
    if given_globals is None:
        given_globals, given_locals = frame.f_globals, frame.f_locals if given_locals is None else given_locals
    _exec(source, given_globals, given_globals if given_locals is None else given_locals, **options)


def _guarded_compile(source: Any, filename: Any, mode: str, *flags: Any, **options: Any) -> Any:
    frame = sys._getframe(1)
    if _standard(frame):
        return _compile(source, filename, mode, *flags, **options)
    if frame.f_globals.get("__name__") != _PARSER or mode != "eval":
        raise RefusedError("code")
    _looked_at.append(_checked(source, set(frame.f_locals.get("local_dict") or ())))
    return _looked_at[-1]


def _standard(frame: Any) -> bool:
    """Whether the standard library asks: named tuples are made of text, modules of code."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in sys.stdlib_module_names


def _checked(source: Any, symbols: set[str] | None) -> CodeType:
    """The code of a formula over these symbols, or of a literal if there are none; RefusedError for all else."""
    tree = source if isinstance(source, ast.AST) else ast.parse(source.strip(), mode="eval")
    texts = set()
    for node in ast.walk(tree):
        if symbols is not None:
            if isinstance(node, ast.Call) and _is_named(node.func, _FUNCTIONS):
                options = [
                    option.arg == "evaluate" and isinstance(option.value, ast.Constant) for option in node.keywords
                ]
                if _is_named(node.func, _OF_TEXT):
                    texts |= {id(argument) for argument in node.args}
                if all(options):
                    continue
            if isinstance(node, ast.keyword) or _is_named(node, _FUNCTIONS | _CONSTANTS | symbols):
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
                raise RefusedError("text")
            if isinstance(node, ast.Pow):
                continue
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and not _small(node.right):
                raise RefusedError("power")
        if not isinstance(node, _LITERAL):
            raise RefusedError(type(node).__name__)
    assert isinstance(tree, ast.Expression)
    return _compile(tree, "<answer>", "eval")


def _small(exponent: ast.AST) -> bool:
    """Whether an exponent is no tower of powers and has no large number in it, which takes for ever for any base."""
    return not any(
        isinstance(node, ast.Pow)
        or (isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value > _MOST_POWER)
        for node in ast.walk(exponent)
    )


def _is_named(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names
