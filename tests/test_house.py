"""The house as CONTRIBUTING promises it: folders, functions and signatures that one can read, and names of one file.

Data may be as long as it is, and so may a command's signature in `cli/`: its options are what `--help` tells.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src/afterbase"
MODULES = sorted(SOURCES.rglob("*.py"))
MOST_MODULES, MOST_LINES, MOST_PARAMETERS = 20, 60, 8
IN_SEVERAL_FOLDERS = {"__init__.py", "__main__.py", "config.py", "files.py", "score.py"}


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines(module: Path, function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    begin = function.body[0] if module.parent.name == "cli" else function
    return function.end_lineno - begin.lineno + 1


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """All but `self` and `cls`, and but those of an autograd function, whose signature is torch's."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls", "ctx")]


def test_no_folder_has_more_modules_than_one_can_look_over():
    counts = Counter(module.parent.relative_to(SOURCES) for module in MODULES)
    assert {str(folder): count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_a_name_is_that_of_one_file():
    counts = Counter(module.name for module in MODULES if module.name not in IN_SEVERAL_FOLDERS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_a_function_fits_on_a_screen():
    long = {f"{m.relative_to(SOURCES)}: {f.name}": lines(m, f) for m in MODULES for f in functions(m)}
    assert {name: count for name, count in long.items() if count > MOST_LINES} == {}


def test_a_signature_can_be_read():
    wide = {
        f"{m.relative_to(SOURCES)}: {f.name}": len(parameters(f))
        for m in MODULES
        if m.parent.name != "cli"
        for f in functions(m)
    }
    assert {name: count for name, count in wide.items() if count > MOST_PARAMETERS} == {}
