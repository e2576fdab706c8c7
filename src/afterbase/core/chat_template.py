"""A tokenizer's chat template: what it renders of a conversation, what it wants, and what it may not do.

A template is foreign code. What it raises becomes a UserError with its words; a turn that it loses or changes is
refused; a day that it writes is always the same one, or tomorrow's prompts would be others than those trained on.
White space around a turn may go, as Llama 3's template has it. Does not cover: tools, documents, and pictures.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.sanitize import sanitized

Messages = Sequence[dict[str, str]]
_PRIVATE_USE = range(0xE000, 0xF900)
_TODAY = datetime(2024, 7, 26, tzinfo=UTC)  # what Llama 3.1's template says where it has no clock
_CODES = [f"%{dash}{code}" for dash in ("", "-") for code in "aAwdbBmyYHIMSpjUWcxXFTDReZz"]


@dataclass(frozen=True)
class Template:
    """What is known of a tokenizer's template before any conversation.

    `special`: the spellings of tokens that are declared special; `role_marks`: of others that the template writes.
    `parts`: it wants a turn's content as a list of parts. `stop`: the mark that ends an assistant's turn, which need
    not be the tokenizer's eos_token; None where there is none. `pieces_gain_space`: a text that is tokenised in pieces
    gets a space before each, as SentencePiece has it.
    """

    special: tuple[str, ...]
    role_marks: tuple[str, ...]
    parts: bool
    stop: str | None
    pieces_gain_space: bool

    def marks(self, role: str) -> tuple[str, ...]:
        """What a turn of this role may not write; an assistant's `<think>` is the model's own."""
        own = (self.stop,) if self.stop is not None and self.stop not in self.special else ()
        return self.special + (own if role == "assistant" else self.role_marks)


class Chat:
    """A conversation as its template is given it: every control mark that somebody wrote is cut by a `seam`.

    Raises UserError for a tokenizer without a template, for a conversation without a turn, and for what is no text.
    """

    def __init__(self, tokenizer: Any, messages: Messages) -> None:
        self.tokenizer = tokenizer
        self.template = template_of(tokenizer)
        if not messages:
            raise UserError("a conversation has a turn", got="none", remedy="leave the conversation out")
        for message in messages:
            _refuse_no_text(message)
        written = "".join(message["content"] for message in messages)
        self.seam = next(c for c in map(chr, _PRIVATE_USE) if c not in written)
        self.messages = [
            {**m, "content": _cut(m["content"], self.template.marks(m["role"]), self.seam)} for m in messages
        ]

    def render(self, turns: int, *, generation: bool) -> str:
        """The text of the first `turns` turns, ready for an answer with `generation`.

        Raises UserError where the template refuses, or says something else than the system or the user.
        """
        messages = self.messages[:turns]
        text = _rendered(self.tokenizer, messages, parts=self.template.parts, generation=generation)
        at = 0
        for message in messages:
            if message["role"] == "assistant":
                continue
            words = message["content"].strip()
            found = text.find(words, 0 if message["role"] == "system" else at)
            if found < 0:
                raise UserError(
                    "a chat template renders every turn as it was written",
                    got=f"the {message['role']}'s `{_shown(words, self.seam)}` lost or changed",
                    remedy="use a template that keeps it, or leave such turns out",
                )
            at = at if message["role"] == "system" else found + len(words)
        return text

    def shown(self, text: str) -> str:
        """The text's beginning as it was written, for an error."""
        return _shown(text, self.seam)


def template_of(tokenizer: Any) -> Template:
    """What is known of the tokenizer's template. Raises UserError where it has none."""
    if not tokenizer.chat_template:
        raise UserError(
            "post-training needs a tokenizer with a chat template",
            got="a tokenizer without one",
            remedy="put a `chat_template.jinja` into the model folder",
        )
    return _inspected(tokenizer, _source(tokenizer), len(tokenizer), tokenizer.eos_token)


def stop_token_id(tokenizer: Any) -> int | None:
    """The token that ends an assistant's turn: what the template writes there, else the tokenizer's eos_token."""
    stop = template_of(tokenizer).stop if tokenizer.chat_template else None
    token = tokenizer.eos_token_id if stop is None else tokenizer.convert_tokens_to_ids(stop)
    return token if isinstance(token, int) else None


@functools.lru_cache(maxsize=8)
def _inspected(tokenizer: Any, source: str, _size: int, eos: str | None) -> Template:
    added = list(tokenizer.added_tokens_decoder.values())
    marks = [token.content for token in added if token.content.strip()]
    parts = _wants_parts(tokenizer)
    return Template(
        special=tuple(token.content for token in added if token.special and token.content),
        role_marks=tuple(m for m in marks if m in source),
        parts=parts,
        stop=_stop(tokenizer, marks, eos, parts=parts),
        pieces_gain_space=_gains_space(tokenizer),
    )


_PROBE = [{"role": "user", "content": "Wherefore?"}, {"role": "assistant", "content": "Thereupon."}]


def _wants_parts(tokenizer: Any) -> bool:
    """Whether a template says nothing of contents that are strings, or cannot read them, but of lists of parts."""
    return not _says_probe(tokenizer, parts=False) and _says_probe(tokenizer, parts=True)


def _says_probe(tokenizer: Any, *, parts: bool) -> bool:
    try:
        text = _rendered(tokenizer, _PROBE, parts=parts, generation=False)
    except UserError:
        return False
    return all(message["content"] in text for message in _PROBE)


def _stop(tokenizer: Any, marks: Sequence[str], eos: str | None, *, parts: bool) -> str | None:
    """The last mark of what follows an answer both at the end of a conversation and within one.

    Phi-3's `<|end|>`, not the `<|endoftext|>` after all turns. Where these differ, as gpt-oss's do, the first mark
    at the end: it is the one that has to be generated.
    """
    spelled = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))) or r"(?!)")
    try:
        last, within = (
            _rendered(tokenizer, messages, parts=parts, generation=False).partition(_PROBE[1]["content"])[2]
            for messages in (_PROBE, [*_PROBE, _PROBE[0]])
        )
    except UserError:
        return eos
    both = [a.group() for a, b in zip(spelled.finditer(last), spelled.finditer(within), strict=False) if _same(a, b)]
    first = spelled.search(last)
    return both[-1] if both else first.group() if first is not None else None


def _same(a: re.Match[str], b: re.Match[str]) -> bool:
    return (a.span(), a.group()) == (b.span(), b.group()) and a.string[: a.end()] == b.string[: b.end()]


def _gains_space(tokenizer: Any) -> bool:
    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    return any(ids(f"\n{text}") != ids("\n") + ids(text) for text in ("x", "/s", "4"))


def _source(tokenizer: Any) -> str:
    try:
        return tokenizer.get_chat_template()
    except ValueError as error:  # several templates, and none of them the default
        raise UserError(
            "a tokenizer with several chat templates has a default one",
            got=str(error).split("Available", 1)[-1],
            remedy="keep one, as `chat_template.jinja`",
        ) from error


def _rendered(tokenizer: Any, messages: Messages, *, parts: bool, generation: bool) -> str:
    source = _source(tokenizer)
    given = [{**m, "content": [{"type": "text", "text": m["content"]}]} if parts else m for m in messages]
    try:
        text = tokenizer.apply_chat_template(
            given,
            chat_template=_pinned() + source if "strftime_now" in source else source,
            tokenize=False,
            add_generation_prompt=generation,
        )
    except Exception as error:  # a template is a program: it raises what it likes
        roles = ", ".join(m["role"] for m in messages[:6]) + (", ..." if len(messages) > 6 else "")
        raise UserError(
            "a chat template takes the conversations that it is given",
            got=f"`{str(error) or type(error).__name__}` of a conversation of {roles or 'no turns'}",
            remedy="leave out what the template does not take (a system turn, say), or use another template",
        ) from error
    assert isinstance(text, str)
    return text


@functools.cache
def _pinned() -> str:
    """Jinja that puts one day in the place of today's."""
    spelled = "".join(f".replace('{code}', {_TODAY.strftime(code)!r})" for code in reversed(_CODES))
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{spelled} }}}}{{%- endmacro -%}}"


def _refuse_no_text(message: dict[str, str]) -> None:
    content = message["content"]
    try:
        if isinstance(content, str) and content.encode() is not None:
            return
        found = type(content).__name__
    except UnicodeEncodeError as error:
        found = f"half a character, U+{ord(content[error.start]):04X}"
    raise UserError("a turn's content is Unicode text", got=f"{found} in a turn of the {message['role']}'s",
                    remedy="correct the turn, or leave it out")  # fmt: skip


def _cut(text: str, marks: Sequence[str], seam: str) -> str:
    """The text with a seam behind the first character of every mark: no piece between seams holds a whole one."""
    if not any(mark in text for mark in marks):
        return text
    return re.sub(f"(?={'|'.join(map(re.escape, marks))})(.)", rf"\1{seam}", text, flags=re.DOTALL)


def _shown(text: str, seam: str) -> str:
    words = " ".join(sanitized(text.replace(seam, "")).split())
    return words if len(words) <= 60 else f"{words[:60]}..."
