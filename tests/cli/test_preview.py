"""`afterbase data preview`: JSON for programs, colours or brackets for people, one message for what is wrong."""

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from afterbase.cli.data import app
from afterbase.cli.preview import in_colours, show
from afterbase.core.errors import UserError
from afterbase.data.own.own_rows import OwnRows
from afterbase.data.own.preview_rows import preview
from afterbase.model.folders import find

TURNS = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(find("tiny-v3"))


@pytest.fixture
def file(tmp_path) -> str:
    rows = [{"messages": TURNS, "topic": "sums"}, {"messages": TURNS[:1]}, {"messages": TURNS[:1]}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path / "r.jsonl")


def run(*arguments: str):
    return CliRunner().invoke(app, ["preview", "--model", "tiny-v3", *arguments])


def test_json_is_one_object(file):
    result = run(file, "--json")
    found = json.loads(result.stdout)
    assert list(found) == ["form", "rows", "dropped", "examples"]
    assert (found["form"], found["rows"], len(found["dropped"]), len(found["examples"])) == ("chat", 3, 2, 1)


def test_people_see_counts_reasons_and_what_bears_loss(file):
    told = run(file).stdout
    assert "chat: 3 rows, 2 left out" in told
    assert "2 x the conversation has no answer (the first: r.jsonl:line 2)" in told
    assert "not read: topic" in told
    assert "<|begin|><|user|>1 + 1?<|assistant|>⟦2<|end|>⟧" in told
    assert "⟦trained⟧, context, special" in told


def test_on_a_terminal_what_bears_loss_is_coloured(file, tokenizer):
    console = Console(force_terminal=True, color_system="standard", soft_wrap=True)
    with console.capture() as captured:
        show(preview(OwnRows(files=(file,)), tokenizer), tokenizer, console)
    assert "\x1b[1;32m2\x1b[0m" in captured.get()
    assert "⟦" not in captured.get()


def test_special_tokens_and_loss_have_styles(tokenizer):
    text = in_colours(tokenizer, [0, 23, 1], [False, False, True])
    assert [(text.plain[s.start : s.end], str(s.style)) for s in text.spans] == [
        ("<|begin|>", "dim reverse"), ("2", "dim"), ("<|end|>", "bold green reverse"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--trained", "first"], "`trained` must be"),
        (["--form", "sheet"], "`form` must be"),
        (["--template-args", "[1]"], "is a JSON object"),
        (["--template-args", "{x"], "is a JSON object"),
        (["--form", "text"], "rows of the form"),
    ],
)
def test_what_is_wrong_is_told(file, arguments, why):
    result = run(file, *arguments)
    assert isinstance(result.exception, UserError)
    assert why in str(result.exception)
