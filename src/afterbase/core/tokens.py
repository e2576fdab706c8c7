"""Text to token ids: the chat template, and an explicit mask of the tokens that bear loss.

A token bears loss if and only if the model has to produce it: the assistant's text and the stop token after it.
What the generation prompt supplies is not trained. Nothing is inferred from token values, so a padding token that
equals the stop token does no harm.

Only the template writes control tokens. A `<|end|>` in somebody's text is tokenised as the seven characters that it is:
it cannot end a turn, nor begin one. Does not cover: control marks of a single character, marks that only a normaliser
of the tokenizer makes out of other text, and marks that a tokenizer does not declare special, in assistant turns (there
`<think>` is the model's own).
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from afterbase.core.errors import UserError

SPECIAL_TOKENS = ("<|begin|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")
BEGIN, END, PAD = SPECIAL_TOKENS[:3]
_PRIVATE_USE = range(0xE000, 0xF900)

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
        last = turn == len(messages) - 1
        whole = ids if last else _apply(tokenizer, messages[: turn + 1], generation=False)
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
    if not tokenizer.chat_template:
        raise UserError(
            "post-training needs a tokenizer with a chat template",
            got="a tokenizer without one",
            remedy="put a `chat_template.jinja` into the model folder",
        )
    written = "".join(message["content"] for message in messages)
    seam = next(c for c in map(chr, _PRIVATE_USE) if c not in written)
    cut = [{**m, "content": _cut(m["content"], _marks(tokenizer, m["role"]), seam)} for m in messages]
    render = functools.partial(tokenizer.apply_chat_template, tokenize=False)
    text, seams = render(cut, add_generation_prompt=generation), 0
    ids = _encode(tokenizer, text, seam)
    for turn in (turn for turn, message in enumerate(cut) if message["role"] == "assistant"):
        # Where a prompt ends in text, ChatML's in a line break, its last token can merge with white space at the
        # beginning of the answer, and generation never meets that token: such an answer begins a piece of its own.
        # Elsewhere the text stays whole, for some tokenizers put a space before each piece.
        start = len(render(cut[:turn], add_generation_prompt=True)) + seams
        prompt = _encode(tokenizer, text[:start], seam)
        if ids[: len(prompt)] != prompt:
            text, seams = text[:start] + seam + text[start:], seams + 1
            ids = _encode(tokenizer, text, seam)
    return ids


def _encode(tokenizer: Any, text: str, seam: str) -> list[int]:
    # Not verbose: callers drop what is too long, and say so.
    pieces = [tokenizer(piece, add_special_tokens=False, verbose=False) for piece in text.split(seam)]
    return [i for piece in pieces for i in piece["input_ids"]]


def _marks(tokenizer: Any, role: str) -> list[str]:
    """The spellings of control tokens: those declared special, and others by which the template tells roles apart."""
    return [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (role != "assistant" and token.content.strip() and token.content in tokenizer.chat_template)
    ]


def _cut(text: str, marks: Sequence[str], seam: str) -> str:
    """The text with a seam behind the first character of every mark: no piece between seams holds a whole one."""
    if not any(mark in text for mark in marks):
        return text
    return re.sub(f"(?={'|'.join(map(re.escape, marks))})(.)", rf"\1{seam}", text, flags=re.DOTALL)
