"""Samples as token ids: what the model has to write bears loss, and of a text all that can be predicted."""

import copy

import pytest

from afterbase.core.sample import Sample
from afterbase.core.tokens import training_rows
from afterbase.data.sample_tokens import answer_row, sample_rows, text_row
from afterbase.model.folders import find

ABOUT = {"domain": "toy", "kind": "own", "problem_id": None, "producer": {}}
SAID = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
TURNS = [{"role": role, "content": text} for role, text in SAID]


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(find("tiny-v3"))


def test_a_conversation_is_trained_by_its_template_and_its_marks(tokenizer):
    sample = Sample(messages=TURNS, **ABOUT, extra={"untrained": [1]})
    assert sample_rows(tokenizer, sample) == training_rows(tokenizer, TURNS, untrained=[1])


def test_a_text_is_trained_but_for_its_first_token_and_ends(tokenizer):
    (row,) = sample_rows(tokenizer, Sample(messages=[{"role": "text", "content": "Hello there"}], **ABOUT))
    assert tokenizer.decode(row.ids) == "Hello there<|end|>"
    assert row.trained == [False] + [True] * (len(row.ids) - 1)


def test_a_text_in_a_chat_form_keeps_its_marks_and_is_ended_once(tokenizer):
    text = "<|begin|><|user|>a<|assistant|>b<|end|>"
    row = text_row(tokenizer, text)
    assert tokenizer.decode(row.ids) == text
    assert row.ids[0] == tokenizer.bos_token_id
    assert row.ids.count(tokenizer.eos_token_id) == 1


def test_a_tokenizer_that_puts_a_begin_mark_before_texts_puts_one(tokenizer):
    class Beginning:
        bos_token_id, eos_token_id = 0, 1

        def __call__(self, text, verbose):
            return {"input_ids": [0, *tokenizer(text)["input_ids"]]}

    for text in ("Hello", "<|begin|>Hello"):
        ids = text_row(Beginning(), text).ids
        assert (ids[0], ids.count(0), ids[-1]) == (0, 1, 1)


def test_calls_of_tools_reach_the_template(tokenizer):
    calling = copy.deepcopy(tokenizer)
    calling.chat_template = (
        "{{ '<|begin|>' }}{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}"
        "{{ '<|' + (m.role if m.role != 'tool' else 'user') + '|>' + m.content }}"
        "{% for call in m.tool_calls or [] %}{{ call.function.name ~ (call.function.arguments | tojson) }}{% endfor %}"
        "{% if m.role == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    call = {"type": "function", "function": {"name": "clock", "arguments": {}}}
    extra = {"turns": {"1": {"tool_calls": [call]}}, "tools": [{"type": "function", "function": {"name": "clock"}}]}
    (row,) = sample_rows(
        calling, Sample(messages=[TURNS[0], {"role": "assistant", "content": ""}], **ABOUT, extra=extra)
    )
    assert '"clock"' in calling.decode(row.ids)
    assert calling.decode([i for i, bears in zip(row.ids, row.trained, strict=True) if bears]) == "clock{}<|end|>"


def test_an_answer_alone_is_trained(tokenizer):
    row = answer_row(tokenizer, TURNS[:3], "d")
    assert tokenizer.decode([i for i, bears in zip(row.ids, row.trained, strict=True) if bears]) == "d<|end|>"
    assert row.ids == training_rows(tokenizer, TURNS)[0].ids
