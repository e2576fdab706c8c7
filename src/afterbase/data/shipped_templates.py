"""Chat templates for base models that have none: each with its control marks, and with what ends a turn.

The forms are those that the families publish; the texts are ours. `BOS` stands where a tokenizer that begins every text
with a token has that token.
"""

from dataclasses import dataclass

BOS = "BOS"


@dataclass(frozen=True)
class ShippedTemplate:
    """A template's Jinja, the marks that have to be tokens of their own, and the one that ends a turn."""

    source: str
    marks: tuple[str, ...]
    ending: str


_CHATML = (
    BOS + "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_LLAMA3 = (
    BOS + "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

_DEEPSEEK_V3 = (
    BOS + "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}"
    "{% elif message.role == 'user' %}{{ '<｜User｜>' + message.content }}"
    "{% elif message.role == 'assistant' %}{{ '<｜Assistant｜>' + message.content + '<｜end▁of▁sentence｜>' }}"
    "{% else %}{{ raise_exception('this template takes system, user and assistant alone') }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
)

SHIPPED_TEMPLATES = {
    "chatml": ShippedTemplate(_CHATML, ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "llama3": ShippedTemplate(_LLAMA3, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|eot_id|>"),
    "deepseek-v3": ShippedTemplate(
        _DEEPSEEK_V3, ("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"), "<｜end▁of▁sentence｜>"
    ),
}
