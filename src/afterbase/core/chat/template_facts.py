"""What is known of a tokenizer's chat template before any conversation: found out by rendering small ones.

A template is foreign code. What it raises becomes a UserError with its words; one that does not come to an end is
stopped; a day that it writes is always the same one, or tomorrow's prompts would be others than those trained on.
Does not cover: a template that comes to an end on the small conversations and not on a larger one.
"""

import ctypes
import functools
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from afterbase.core.errors import UserError
from afterbase.core.reasoning import CLOSE

T = TypeVar("T")
Messages = Sequence[Mapping[str, Any]]
Tools = Sequence[Mapping[str, Any]]
Spans = list[tuple[int, int]]
"""Where each `{% generation %}` block of a rendered text begins and ends."""

_TODAY = datetime(2024, 7, 26, tzinfo=UTC)  # what Llama 3.1's template says where it has no clock
_CODES = [f"%{dash}{code}" for dash in ("", "-") for code in "aAwdbBmyYHIMSpjUWcxXFTDReZz"]
_SECONDS = 10.0
_LONGEST = 1_000_000  # characters that a template may make of a conversation of a few words
_TAGS = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")

_ASKED, _ANSWERED = {"role": "user", "content": "Wherefore?"}, {"role": "assistant", "content": "Thereupon."}
_SYSTEM = {"role": "system", "content": "Henceforth."}
_THOUGHT = "Whereas."
_NAME, _KEY, _VALUE, _ID = "look_up", "wherein", "Yonder", "call00001"  # Mistral's templates want an id of this length
_RESULT = {"role": "tool", "tool_call_id": _ID, "name": _NAME, "content": "Thereof."}


@dataclass(frozen=True)
class Ending:
    """The mark that ends an assistant's turn; `next_turns`: it is the first one of the turn that follows (GLM-4)."""

    mark: str
    next_turns: bool = False


@dataclass(frozen=True)
class CallForm:
    """How a template takes a call of a tool: arguments as JSON text or as an object; no text as None or as ""."""

    text: bool
    none: bool


@dataclass(frozen=True)
class Template:
    """What is known of a tokenizer's template.

    `special`: the spellings of tokens that are declared special; `role_marks`: of others that the template writes.
    `parts`: it wants a turn's content as a list of parts. `system`: it takes a system turn. `thought_field`: it wants a
    thought beside the answer, not within. `tags`: it says by `{% generation %}` what the assistant writes. `ending`:
    what ends an assistant's turn, which need not be the tokenizer's eos_token; None where there is none. `call_form`
    and `call_ending`: of a turn that calls tools; None where the template has no such turns. `pieces_gain_space`: a
    text that is tokenised in pieces gets a space before each, as SentencePiece has it.
    """

    special: tuple[str, ...]
    role_marks: tuple[str, ...]
    parts: bool
    system: bool
    thought_field: bool
    tags: bool
    ending: Ending | None
    call_form: CallForm | None
    call_ending: Ending | None
    pieces_gain_space: bool

    def marks(self, role: str) -> tuple[str, ...]:
        """What a turn of this role may not write; an assistant's `<think>` is the model's own."""
        if role != "assistant":
            return self.special + self.role_marks
        endings = (ending.mark for ending in (self.ending, self.call_ending) if ending is not None)
        return self.special + tuple(mark for mark in dict.fromkeys(endings) if mark not in self.special)


def template_of(tokenizer: Any, tools: Tools | None = None) -> Template:
    """What is known of the tokenizer's template, of that for tools where it has one of its own.

    Raises UserError where it has none, and for one that does not come to an end.
    """
    if not tokenizer.chat_template:
        raise UserError(
            "post-training needs a tokenizer with a chat template",
            got="a tokenizer without one",
            remedy="put a `chat_template.jinja` into the model folder, or name one: `--chat-template chatml`",
        )
    return _inspected(tokenizer, _source(tokenizer, tools), len(tokenizer), tokenizer.eos_token)


def stop_token_ids_of_template(tokenizer: Any) -> tuple[int, ...]:
    """The tokens that end an assistant's turn, and one that calls tools: what the template writes there.

    Without a template the tokenizer's eos_token; the turn's own token is the first one.
    """
    found = template_of(tokenizer) if tokenizer.chat_template else None
    endings = [] if found is None else [e.mark for e in (found.ending, found.call_ending) if e is not None]
    ids = [tokenizer.convert_tokens_to_ids(mark) for mark in endings]
    if found is None or found.ending is None:
        ids = [tokenizer.eos_token_id, *ids]
    return tuple(dict.fromkeys(i for i in ids if isinstance(i, int)))


def render(
    tokenizer: Any, messages: Messages, *, tools: Tools | None = None, generation: bool, tags: bool = False
) -> tuple[str, Spans]:
    """The template's text of a conversation; with `tags` where its `{% generation %}` blocks are.

    Raises UserError with the template's own words where it refuses.
    """
    from transformers.utils.chat_template_utils import render_jinja_template  # slow to import

    source = _source(tokenizer, tools)
    try:
        rendered: Any = render_jinja_template(
            [[dict(message) for message in messages]],
            tools=None if tools is None else [dict(tool) for tool in tools],
            chat_template=_pinned() + source if "strftime_now" in source else source,
            return_assistant_tokens_mask=tags,
            add_generation_prompt=generation,
            **tokenizer.special_tokens_map,
        )
    except Exception as error:  # a template is a program: it raises what it likes
        roles = ", ".join(m["role"] for m in messages[:6]) + (", ..." if len(messages) > 6 else "")
        raise UserError(
            "a chat template takes the conversations that it is given",
            got=f"`{(str(error) or type(error).__name__)[:300]}` of a conversation of {roles or 'no turns'}",
            remedy="leave out what the template does not take, or use another template",
        ) from error
    (text,), spans = rendered
    return text, spans[0] if tags else []


@functools.lru_cache(maxsize=8)
def _inspected(tokenizer: Any, source: str, _size: int, eos: str | None) -> Template:
    return _in_time(lambda: _Inspection(tokenizer, source, eos).template())


class _Inspection:
    """Small conversations, and what a template makes of them."""

    def __init__(self, tokenizer: Any, source: str, eos: str | None) -> None:
        added = list(tokenizer.added_tokens_decoder.values())
        marks = [token.content for token in added if token.content.strip()]
        self._tokenizer, self._source, self._eos = tokenizer, source, eos
        self._special = tuple(token.content for token in added if token.special and token.content)
        self._marks = tuple(m for m in marks if m in source)
        longest_first = sorted(marks, key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._parts = False

    def template(self) -> Template:
        """Raises UserError for a template that makes a book of a few words."""
        said = self._said(_ASKED, _ANSWERED)
        self._parts = not _holds(said) and self._holds_parts()
        ending = self._ending()
        call_form = next((form for form in _CALL_FORMS if self._takes(form)), None)
        return Template(
            special=self._special,
            role_marks=self._marks,
            parts=self._parts,
            system=self._said(_SYSTEM, _ASKED) is not None or self._said(_ASKED) is None,
            thought_field=self._thought_field(),
            tags=_TAGS.search(self._source) is not None,
            ending=ending,
            call_form=call_form,
            call_ending=None if call_form is None else self._call_ending(call_form, ending),
            pieces_gain_space=_gains_space(self._tokenizer),
        )

    def _said(self, *messages: Mapping[str, Any]) -> str | None:
        """What the template makes of a conversation; None where it refuses."""
        given = [in_parts(message) if self._parts else message for message in messages]
        try:
            text, _ = render(self._tokenizer, given, generation=False)
        except UserError:
            return None
        if len(text) > _LONGEST:
            raise UserError(
                f"a chat template makes {_LONGEST:,} characters at most of a few words",
                got=f"{len(text):,} characters",
                remedy="use another template",
            )
        return text

    def _holds_parts(self) -> bool:
        """Whether a template says nothing of contents that are strings, or cannot read them, but of lists of parts."""
        self._parts = True
        found = _holds(self._said(_ASKED, _ANSWERED))
        self._parts = False
        return found

    def _thought_field(self) -> bool:
        """Whether it has a place for a thought, and finds none in the content: gpt-oss's, Gemma 4's."""
        if CLOSE in self._source:
            return False
        text = self._said(_ASKED, {**_ANSWERED, "reasoning_content": _THOUGHT}) or ""
        return 0 <= text.find(_THOUGHT) < text.find(_ANSWERED["content"])

    def _takes(self, form: CallForm) -> bool:
        text = self._said(_ASKED, call_turn(form)) or "None"
        as_python = f"{{'{_KEY}'"  # an object that was written where a text was wanted
        return all(word in text for word in (_NAME, _KEY, _VALUE)) and "None" not in text and as_python not in text

    def _ending(self) -> Ending | None:
        """The last mark of what follows an answer both at the end of a conversation and within one.

        Phi-3's `<|end|>`, not the `<|endoftext|>` after all turns. Where these differ, as gpt-oss's do, the first mark
        at the end: it is the one that has to be generated. Where nothing follows, the next turn's first mark.
        """
        last, within = self._said(_ASKED, _ANSWERED), self._said(_ASKED, _ANSWERED, _ASKED)
        if last is None or within is None:
            return None if self._eos is None else Ending(self._eos)
        last, within = (text.partition(_ANSWERED["content"])[2] for text in (last, within))
        both = self._common(last, within)
        declared = [mark for mark in both if mark in self._special]
        first = self._spelled.search(last)
        if both:
            return Ending((declared or both)[-1])
        return self._next_turns(within) if first is None else Ending(first.group())

    def _call_ending(self, form: CallForm, plain: Ending | None) -> Ending | None:
        """As of other turns, but a mark such as `</tool_call>` belongs to the call: only special ones end a turn."""
        last, within = self._said(_ASKED, call_turn(form)), self._said(_ASKED, call_turn(form), _RESULT)
        assert last is not None
        last, within = last.rpartition(_VALUE)[2], (within or "").partition(_VALUE)[2]
        declared = [mark for mark in self._common(last, within) if mark in self._special]
        if declared:
            return Ending(declared[-1])
        if plain is None or plain.next_turns or plain.mark not in last:
            return self._next_turns(within)
        return plain

    def _next_turns(self, within: str) -> Ending | None:
        found = (mark.group() for mark in self._spelled.finditer(within))
        mark = next((mark for mark in found if mark in self._special), None)
        return None if mark is None else Ending(mark, next_turns=True)

    def _common(self, last: str, within: str) -> list[str]:
        """The marks at the beginning of both texts, as far as these are equal."""
        pairs = zip(self._spelled.finditer(last), self._spelled.finditer(within), strict=False)
        return [a.group() for a, b in pairs if a.span() == b.span() and last[: a.end()] == within[: b.end()]]


_CALL_FORMS = [CallForm(text=text, none=none) for text in (False, True) for none in (False, True)]


def call_turn(form: CallForm) -> dict[str, Any]:
    """An assistant's turn that calls a tool, in a form."""
    arguments = f'{{"{_KEY}": "{_VALUE}"}}' if form.text else {_KEY: _VALUE}
    call = {"id": _ID, "type": "function", "function": {"name": _NAME, "arguments": arguments}}
    return {"role": "assistant", "content": None if form.none else "", "tool_calls": [call]}


def in_parts(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with its content as a list of parts."""
    return {**message, "content": [{"type": "text", "text": message["content"] or ""}]}


def _holds(text: str | None) -> bool:
    return text is not None and all(message["content"] in text for message in (_ASKED, _ANSWERED))


def _gains_space(tokenizer: Any) -> bool:
    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    return any(ids(f"\n{text}") != ids("\n") + ids(text) for text in ("x", "/s", "4"))


def _source(tokenizer: Any, tools: Tools | None) -> str:
    try:
        return tokenizer.get_chat_template(tools=tools)
    except ValueError as error:  # several templates, and none of them the default
        raise UserError(
            "a tokenizer with several chat templates has a default one",
            got=str(error).split("Available", 1)[-1],
            remedy="keep one, as `chat_template.jinja`",
        ) from error


@functools.cache
def _pinned() -> str:
    """Jinja that puts one day in the place of today's."""
    spelled = "".join(f".replace('{code}', {_TODAY.strftime(code)!r})" for code in reversed(_CODES))
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{spelled} }}}}{{%- endmacro -%}}"


class _OutOfTime(BaseException):
    """Raised within a template, which may hold every Exception for its own."""


def _in_time(work: Callable[[], T]) -> T:
    """What a function returns or raises, in a thread of its own that ends after some seconds: UserError then.

    Jinja's templates run as Python, which takes an exception between two steps.
    """
    made: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            made.append(work())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_OutOfTime))
        raise UserError(
            f"a chat template renders a few words within {_SECONDS:g} seconds",
            got="a template that goes on",
            remedy="use another template",
        )
    if raised:
        raise raised[0]
    return made[0]
