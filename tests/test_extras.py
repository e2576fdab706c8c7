"""Without any extra afterbase still imports, and each extra is imported where its absence is told."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from afterbase.core.errors import MODULES

SOURCES = Path(__file__).parents[1] / "src/afterbase"
WHERE = {
    "datasets": {"eval/tasks/benchmark_rows.py"},
    "ifeval": {"verify/ifeval/case_and_language.py", "verify/ifeval/english.py"},
    "lora": {"train/lora.py"},
    "postgres": {"rollout/endpoint/request_cache.py"},
    "ray": {"data/clean/parallel_map.py"},
}
"""The files that import each extra; `review` is that of a folder."""
EVERYTHING = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    sys.modules[name] = None
import afterbase
for module in pkgutil.walk_packages(afterbase.__path__, "afterbase."):
    try:
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    except ModuleNotFoundError:
        print(module.name)
"""


def imported(path: Path) -> Iterator[str]:
    """The outermost packages that a file imports, for the interpreter and not for the type checker alone."""
    for_types = ast.unparse(ast.parse("TYPE_CHECKING").body[0])
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]
        todo += ast.iter_child_nodes(node)


def test_each_extra_is_imported_where_its_absence_is_told():
    files = {str(path.relative_to(SOURCES)): set(imported(path)) for path in SOURCES.rglob("*.py")}
    found = {extra: {file for file, names in files.items() if names & {*MODULES[extra]}} for extra in MODULES}
    review = found.pop("review")
    assert found == WHERE
    assert {Path(file).parts[:2] for file in review} == {("data", "review")}


def test_without_any_extra_all_but_the_review_imports():
    hidden = [module for modules in MODULES.values() for module in modules]
    call = [sys.executable, "-c", EVERYTHING, *hidden]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    lost = done.stdout.split()
    assert lost, "the database of the review needs an extra"
    assert [name for name in lost if not name.startswith("afterbase.data.review.")] == []
