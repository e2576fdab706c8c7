"""The matrix of templates: each cell is tried, and real templates of a library pass as well."""

import importlib.util
import warnings
from pathlib import Path

import pytest
import trl

import template_toys

FILE = Path(__file__).parents[2] / "tools/template_matrix.py"
spec = importlib.util.spec_from_file_location("template_matrix", FILE)
assert spec is not None
assert spec.loader is not None
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

PUBLISHED = Path(trl.__file__).parent / "chat_templates"
REAL = ("gemma", "gemma4_v5", "glm4moe", "gptoss", "llama3_1", "nemotron_3_nano", "phi3", "qwen2_5", "qwen3_training")


@pytest.fixture(autouse=True)
def _system_turns_may_be_moved():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def test_a_row_for_each_template_and_a_column_for_each_conversation():
    head, rule, *rows = tool.table(template_toys.FOLDER).splitlines()
    assert head.split(" | ")[1:3] == ["one turn", "three turns"]
    assert len(rows) == len(template_toys.names()) >= 10
    assert len({line.count("|") for line in (head, rule, *rows)}) == 1
    cells = {row.split(" | ")[0].strip("| "): row for row in rows}
    assert cells["qwen2.5"].count("ok, prefix") == len(tool.CONVERSATIONS)
    assert "ok, row per turn" in cells["qwen3"]
    assert "ok, generation tags" in cells["smollm3"]
    assert "refused: a chat template renders calls of tools" in cells["chatml"]


@pytest.mark.parametrize("name", REAL)
def test_templates_as_they_are_published(name):
    """Those that TRL ships: what has tools or thoughts takes all kinds, the others all without tools."""
    source = (PUBLISHED / f"{name}.jinja").read_text()
    cells = {kind: tool.cell(source, conversation) for kind, conversation in tool.CONVERSATIONS.items()}
    without = {kind for kind, cell in cells.items() if not cell.startswith("ok, ")}
    expected = {"calls", "tools", "thinking, tools"} if "tool_calls" not in source else set()
    assert without == expected, cells
