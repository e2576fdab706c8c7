"""A preview shows ids and masks as the stages train them, and what its template refuses."""

import copy
import json
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.core.tokens import prompt_ids, training_rows
from afterbase.data.own.own_rows import OwnRows
from afterbase.data.own.preview_rows import MOST, preview
from afterbase.model.folders import find

SYSTEM, USER, ANSWER = (
    {"role": role, "content": text} for role, text in [("system", "s"), ("user", "a"), ("assistant", "b")]
)


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(find("tiny-v3"))


def own(folder: Path, *rows: dict, **settings) -> OwnRows:
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return OwnRows(files=(str(folder / "r.jsonl"),), **settings)


def test_conversations_are_shown_as_they_are_trained(tmp_path, tokenizer):
    turns = [USER, ANSWER, USER, ANSWER]
    found = preview(own(tmp_path, {"messages": turns}, {"messages": [USER]}, trained="last"), tokenizer).as_dict()
    (row,) = training_rows(tokenizer, turns, untrained=[1])
    assert found == {
        "form": "chat",
        "rows": 2,
        "dropped": [{"row": "r.jsonl:line 2", "rule": "the conversation has no answer"}],
        "examples": [{"ids": row.ids, "trained": row.trained, "text": tokenizer.decode(row.ids)}],
    }


def test_preferences_have_both_answers_behind_one_prompt(tmp_path, tokenizer):
    prompt = [SYSTEM, USER, ANSWER, USER]
    found = preview(own(tmp_path, {"prompt": prompt, "chosen": "yes", "rejected": "no"}), tokenizer).as_dict()
    (example,) = found["examples"]
    for shown, text in ((example, "yes"), (example["rejected"], "no")):
        trained = [token for token, bears in zip(shown["ids"], shown["trained"], strict=True) if bears]
        assert tokenizer.decode(trained) == f"{text}<|end|>"
        assert shown["ids"][: -len(trained)] == prompt_ids(tokenizer, prompt)


def test_prompts_labels_and_texts_are_shown(tmp_path, tokenizer):
    (shown,) = preview(own(tmp_path, {"prompt": "a"}), tokenizer).as_dict()["examples"]
    assert (shown["ids"], any(shown["trained"])) == (prompt_ids(tokenizer, [USER]), False)
    (shown,) = preview(own(tmp_path, {"prompt": "a", "completion": "b", "label": 1}), tokenizer).as_dict()["examples"]
    assert (shown["label"], shown["text"]) == (True, "<|begin|><|user|>a<|assistant|>b<|end|>")
    (shown,) = preview(own(tmp_path, {"text": "a b"}), tokenizer).as_dict()["examples"]
    assert shown["text"] == "a b<|end|>"


def test_the_first_examples_are_shown_and_all_rows_counted(tmp_path, tokenizer):
    found = preview(own(tmp_path, *[{"prompt": "a", "completion": "b"}] * 30), tokenizer)
    assert (found.as_dict()["rows"], len(found.as_dict()["examples"])) == (30, MOST)


def test_a_row_that_the_template_refuses_is_left_out_and_all_refused_end_it(tmp_path, tokenizer):
    strict, taken = copy.deepcopy(tokenizer), {"messages": [USER, ANSWER]}
    odd = {"messages": [SYSTEM, USER, ANSWER, USER, ANSWER]}
    strict.chat_template = tokenizer.chat_template.replace(
        "{{ '<|begin|>' }}",
        "{{ '<|begin|>' }}{% if messages | length > 4 %}{{ raise_exception('too many') }}{% endif %}",
    )
    found = preview(own(tmp_path, odd, taken), strict)
    assert [row.row for row in found.refused] == ["r.jsonl:line 1"]
    assert "too many" in found.as_dict()["dropped"][0]["rule"]
    with pytest.raises(UserError, match=r"too many.*in r\.jsonl:line 1"):
        preview(own(tmp_path, odd), strict)


def test_a_misspelt_answer_is_no_row_of_prompts(tmp_path, tokenizer):
    with pytest.raises(UserError, match="did you mean `completion`"):
        preview(own(tmp_path, {"prompt": "a", "complation": "b"}), tokenizer)
