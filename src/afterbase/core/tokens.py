"""Text to token ids: the chat template, and an explicit mask of the tokens that bear loss.

A token bears loss if and only if the model has to produce it: the assistant's text and the stop token after it.
What the generation prompt supplies is not trained. Nothing is inferred from token values, so a padding token that
equals the stop token does no harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from afterbase.core.errors import UserError

SPECIAL_TOKENS = ("<|begin|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")
BEGIN, END, PAD = SPECIAL_TOKENS[:3]

# The same form as DeepSeek-V3's own template: the system prompt bare after the first token, then the turns.
CHAT_TEMPLATE = (
    "{{ '<|begin|>' }}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ '<|system|>' + message.content }}"
    "{% elif message.role == 'user' %}{{ '<|user|>' + message.content }}"
    "{% else %}{{ '<|assistant|>' + message.content + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Tokenized:
    """One conversation: token ids, and for each whether it bears loss."""

    ids: list[int]
    trained: list[bool]


def prompt_ids(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Token ids of a conversation up to and including the generation prompt."""
    return _apply(tokenizer, messages, generation=True)


def user_prompt_ids(tokenizer: Any, prompt: str, *, system: str | None = None) -> list[int]:
    """Token ids of one user turn, after the system prompt if there is one, ready for generation."""
    head = [{"role": "system", "content": system}] if system is not None else []
    return prompt_ids(tokenizer, [*head, {"role": "user", "content": prompt}])


def tokenize(tokenizer: Any, messages: Sequence[dict[str, str]]) -> Tokenized:
    """A conversation with its loss mask.

    Each assistant span is what the template adds to the generation prompt, up to and including the stop token.
    Raises UserError where the template does not extend its own prompt, or ends a turn without a stop token.
    """
    ids = _apply(tokenizer, messages, generation=False)
    trained = [False] * len(ids)
    for turn, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start = len(prompt := _apply(tokenizer, messages[:turn], generation=True))
        whole = _apply(tokenizer, messages[: turn + 1], generation=False)
        if whole[:start] != prompt or ids[: len(whole)] != whole:
            raise UserError(
                "a chat template must extend its own generation prompt",
                got=f"a template that renders turn {turn} differently once the answer is there",
                remedy="use a template whose rendering of earlier turns does not depend on later ones",
            )
        stop = _last_index(whole, tokenizer.eos_token_id, start)
        if stop is None:
            raise UserError(
                "each assistant turn must end in the stop token, or generation never learns to end",
                got=f"a turn without `{tokenizer.eos_token}` after `{message['content'][-40:]}`",
                remedy="add the tokenizer's eos_token to the assistant turn of the chat template",
            )
        trained[start : stop + 1] = [True] * (stop + 1 - start)
    return Tokenized(ids, trained)


def _last_index(ids: Sequence[int], token: int, start: int) -> int | None:
    return next((i for i in range(len(ids) - 1, start - 1, -1) if ids[i] == token), None)


def _apply(tokenizer: Any, messages: Sequence[dict[str, str]], *, generation: bool) -> list[int]:
    return tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=generation, tokenize=True, return_dict=False
    )
