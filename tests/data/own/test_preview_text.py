"""A preview as people see it: counts, reasons, and what bears loss, in colours or in brackets."""

import io
import json

import pytest
from rich.console import Console

from afterbase.data.own.own_rows import OwnRows
from afterbase.data.own.preview_rows import preview
from afterbase.data.own.preview_text import in_colours, show
from afterbase.model.folders import find

TURNS = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(find("tiny-v3"))


def shown(folder, tokenizer, rows: list[dict], **settings) -> str:
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    console = Console(file=io.StringIO(), soft_wrap=True, **settings)
    show(preview(OwnRows(files=(str(folder / "r.jsonl"),)), tokenizer), tokenizer, console)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_counts_reasons_and_brackets_are_shown(tmp_path, tokenizer):
    rows = [{"messages": TURNS, "topic": "sums"}, {"messages": TURNS[:1]}, {"messages": TURNS[:1]}]
    told = shown(tmp_path, tokenizer, rows)
    assert "chat: 3 rows, 2 left out" in told
    assert "2 x the conversation has no answer (the first: r.jsonl:line 2)" in told
    assert "not read: topic" in told
    assert "<|begin|><|user|>1 + 1?<|assistant|>⟦2<|end|>⟧" in told
    assert "⟦trained⟧, context, special" in told


def test_on_a_terminal_what_bears_loss_is_coloured(tmp_path, tokenizer):
    told = shown(tmp_path, tokenizer, [{"messages": TURNS}], force_terminal=True, color_system="standard")
    assert "\x1b[1;32m2\x1b[0m" in told
    assert "⟦" not in told


def test_both_answers_of_a_preference_and_labels_are_shown(tmp_path, tokenizer):
    told = shown(tmp_path, tokenizer, [{"prompt": "a", "chosen": "[b]yes", "rejected": "no"}])
    assert told.index("⟦[b]yes<|end|>⟧") < told.index("rejected:") < told.index("⟦no<|end|>⟧")
    assert "label: False" in shown(tmp_path, tokenizer, [{"prompt": "a", "completion": "b", "label": False}])


def test_special_tokens_and_loss_have_styles(tokenizer):
    text = in_colours(tokenizer, [0, 23, 1], [False, False, True])
    assert [(text.plain[s.start : s.end], str(s.style)) for s in text.spans] == [
        ("<|begin|>", "dim reverse"), ("2", "dim"), ("<|end|>", "bold green reverse"),
    ]  # fmt: skip
