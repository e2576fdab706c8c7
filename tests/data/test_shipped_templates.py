"""Shipped templates write what their families publish."""

import copy

import pytest

from afterbase.core.chat.template_facts import Ending, template_of
from afterbase.core.tokens import tokenize
from afterbase.data.base_model import _use_shipped
from afterbase.data.shipped_templates import SHIPPED_TEMPLATES

MESSAGES = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": "4"},
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "chatml",
            "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
            "4<|im_end|>\n",
        ),
        (
            "llama3",
            "<|start_header_id|>system<|end_header_id|>\n\nBe short.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n2 + 2?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n4<|eot_id|>",
        ),
        ("deepseek-v3", "Be short.<｜User｜>2 + 2?<｜Assistant｜>4<｜end▁of▁sentence｜>"),
    ],
)
def test_a_conversation_as_the_family_writes_it(toy_tokenizer, name, text):
    tokenizer = copy.deepcopy(toy_tokenizer)
    _use_shipped(tokenizer, SHIPPED_TEMPLATES[name])
    tokens = tokenize(tokenizer, MESSAGES)
    assert tokenizer.decode(tokens.ids) == text
    trained = tokenizer.decode([i for i, bears in zip(tokens.ids, tokens.trained, strict=True) if bears])
    assert trained == "4" + SHIPPED_TEMPLATES[name].ending
    assert template_of(tokenizer).ending == Ending(SHIPPED_TEMPLATES[name].ending)
