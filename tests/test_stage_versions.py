"""A stage whose source changes gets a new VERSION, or the store would hand out what the old source made.

After the bump:

    python tests/test_stage_versions.py

which refuses a changed source under an old VERSION. Where the change moves no byte of what the stage makes (a rename, a
message), name the module: `python tests/test_stage_versions.py afterbase.train.sft`.

Does not cover what stages share (losses, packing, domains, verifiers, the chat template): whoever changes what those
compute bumps the stages that use them.
"""

import ast
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parent.parent / "src"
RECORDED = Path(__file__).with_name("stage_versions.json")
STORE = "afterbase.core.store"  # defines what a stage is, and is none

State = list[Any]  # [versions by name, sha256 of the source]


def stage_modules() -> dict[str, Path]:
    """The modules that make artifacts, by name."""
    names = {".".join(p.relative_to(SOURCES).with_suffix("").parts): p for p in sorted(SOURCES.rglob("*.py"))}
    return {name: p for name, p in names.items() if "store.produce(" in p.read_text() and name != STORE}


def state(source: str) -> State:
    """Versions of a module, and a hash of it that comments, layout and docstrings do not move."""
    tree = ast.parse(source)
    values = {ast.unparse(n.targets[0]): n.value for n in tree.body if isinstance(n, ast.Assign)}
    versions = {name: ast.literal_eval(value) for name, value in values.items() if name.endswith("VERSION")}
    return [versions, hashlib.sha256(json.dumps(_plain(tree)).encode()).hexdigest()]


def _plain(node: Any) -> Any:
    """A syntax tree as JSON, without docstrings and empty fields, of which each Python has its own."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
        fields["body"] = node.body[1:]
    return [type(node).__name__, {name: _plain(value) for name, value in fields.items() if value not in (None, [])}]


def refused(recorded: dict[str, State], now: dict[str, State]) -> list[str]:
    """Modules whose source is another one under the recorded versions."""
    known = {name: new for name, new in now.items() if name in recorded}
    return [name for name, new in known.items() if new != recorded[name] and new[0] == recorded[name][0]]


def _states() -> dict[str, State]:
    return {name: state(path.read_text()) for name, path in stage_modules().items()}


# --- tests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", stage_modules())
def test_stage_is_as_recorded(name: str):
    recorded = json.loads(RECORDED.read_text()).get(name)
    now = state(stage_modules()[name].read_text())
    assert now[0], f"{name} makes artifacts and has no VERSION"
    assert now == recorded, f"{name} has changed: raise its VERSION, then run `python tests/test_stage_versions.py`"


def test_no_stage_is_recorded_that_is_gone():
    assert list(json.loads(RECORDED.read_text())) == list(stage_modules())


TOY = '''
"""A stage."""
VERSION = 1

def make(work):
    """Write it."""
    return 1 + 1
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [('"""A stage."""', '"""Another text."""'), ('    """Write it."""\n', ""), ("1 + 1", "(1 +\n        1)  # two")],
    ids=["docstring", "no docstring", "layout"],
)
def test_words_and_layout_do_not_count(old, new):
    assert state(TOY.replace(old, new)) == state(TOY)


def test_changed_source_needs_a_new_version():
    before = {"toy": state(TOY)}
    changed = TOY.replace("1 + 1", "1 - 1")
    assert refused(before, {"toy": state(changed)}) == ["toy"]
    assert refused(before, {"toy": state(changed.replace("VERSION = 1", "VERSION = 2"))}) == []
    assert refused(before, {"toy": state(TOY), "new": state(changed)}) == []


if __name__ == "__main__":
    states = _states()
    before = json.loads(RECORDED.read_text()) if RECORDED.is_file() else {}
    unbumped = [name for name in refused(before, states) if name not in sys.argv[1:]]
    if unbumped:
        sys.exit(f"changed under an old VERSION: {' '.join(unbumped)}")
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in states.items()]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(states)} stages recorded in {RECORDED.name}")
