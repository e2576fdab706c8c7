"""The names that `afterbase.sandbox` gives: all there, and loaded by nobody who does not ask."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from afterbase import sandbox


def test_the_names_for_type_checkers_are_those_at_run_time() -> None:
    tree = ast.parse(Path(sandbox.__file__).read_text())
    told = {
        (str(node.module).removeprefix("afterbase.sandbox."), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("afterbase.sandbox.")
        for alias in node.names
    }
    assert told == {(module, name) for module, names in sandbox._MODULES.items() for name in names}


@pytest.mark.parametrize("name", sandbox.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(sandbox, name) is not None


def test_another_name_is_none_of_them() -> None:
    with pytest.raises(AttributeError, match="no attribute 'escape'"):
        sandbox.escape  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("module", ["kernel", "launcher", "supervisor", "forks.fork_server", "forks.function_calls"])
def test_what_confines_programs_loads_in_an_interpreter_that_knows_no_packages(module: str) -> None:
    """And loads little: a program's own interpreter holds nothing that it has no use for."""
    here = Path(sandbox.__file__).parents[2]
    code = f"import sys; sys.path.append({str(here)!r}); import afterbase.sandbox.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-s", "-P", "-c", code], capture_output=True, text=True, check=True)
    own = {name for name in done.stdout.split() if name.startswith("afterbase.")}
    parents = {"afterbase.sandbox", "afterbase.sandbox.forks", "afterbase.sandbox.kernel"}
    assert own <= {*parents, f"afterbase.sandbox.{module}"}
