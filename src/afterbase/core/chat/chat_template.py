"""A conversation as a chat template is given it, and the template's text held against what was written.

A turn, a call of a tool or a tool's definition that the template loses or changes is refused. White space around a
turn may go, as Llama 3's template has it. A system turn before a template that refuses one, Gemma 2's, becomes the
beginning of the first user's turn, with a warning. Does not cover: documents, and pictures.
"""

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from afterbase.core.chat.template_facts import Ending, Messages, Spans, Template, Tools, in_parts, render, template_of
from afterbase.core.errors import UserError
from afterbase.core.reasoning import CLOSE, OPEN
from afterbase.core.sanitize import sanitized

_PRIVATE_USE = range(0xE000, 0xF900)
FOLDED = (
    "The model's chat template takes no system turn: a system prompt stands at the beginning of the first user's turn, "
    "in training and in generation."
)


class Chat:
    """A conversation as its template is given it: every control mark that somebody wrote is cut by a `seam`.

    `messages` are the turns, with the system's within the user's where it has to be; turn i was written as turn
    `i + shift`. Raises UserError for a tokenizer without a template, for a conversation without a turn, for what is no
    text, and for calls of tools that the template has no form for.
    """

    def __init__(self, tokenizer: Any, messages: Messages, tools: Tools | None = None) -> None:
        self.tokenizer = tokenizer
        self.template = template_of(tokenizer, tools or None)
        if not messages:
            raise UserError("a conversation has a turn", got="none", remedy="leave the conversation out")
        turns = [_turn(message) for message in messages]
        _refuse_nameless(tools or ())
        if turns[0]["role"] == "system" and not self.template.system:
            warnings.warn(FOLDED, stacklevel=2)
            turns = _folded(turns)
        self.shift = len(messages) - len(turns)
        written = [text for value in (turns, tools) for text in _texts(value)]
        self.seam = next(c for c in map(chr, _PRIVATE_USE) if not any(c in text for text in written))
        self.messages = [_cut(turn, self.template.marks(turn["role"]), self.seam) for turn in turns]
        self._tools = _cut(list(tools), self.template.marks("system"), self.seam) if tools else None
        self._given = [_given(message, self.template) for message in self.messages]

    def ending(self, turn: int) -> Ending | None:
        """What ends this assistant's turn."""
        return self.template.call_ending if "tool_calls" in self.messages[turn] else self.template.ending

    def prompt(self, turns: int) -> tuple[str, int]:
        """The text of the first `turns` turns, ready for an answer, and where the words of the latest request end.

        Raises UserError where the template refuses, or says something else than the system, the user or a tool.
        """
        text, _, at = self._render(turns, generation=True)
        return text, at

    def finished(self, turns: int) -> tuple[str, int, Spans]:
        """As `prompt`, without what makes it ready for an answer, and where the template says the assistant wrote it.

        Raises UserError as `prompt` does.
        """
        text, spans, at = self._render(turns, generation=False)
        return text, at, spans

    def holds(self, turn: int, text: str) -> bool:
        """Whether a text has all that this assistant's turn says, in its order, and all of its calls."""
        at = 0
        for said in self._said(turn):
            found = text.find(said, at)
            if found < 0:
                return False
            at = found + len(said)
        called = (call["function"] for call in self.messages[turn].get("tool_calls", ()))
        calls = [text for function in called for text in _texts([function["name"], function["arguments"]])]
        return all(words in text or _as_json(words) in text for words in calls)

    def _said(self, turn: int) -> list[str]:
        """The thought, its marks, and the answer, without the white space around each."""
        given, content = self._given[turn], self.messages[turn]["content"]
        if "reasoning_content" in given:
            _, inside, words = content.partition(CLOSE)
            return [given["reasoning_content"].strip(), (words if inside else content).strip()]
        thought, inside, words = content.rpartition(CLOSE)
        opening = OPEN if inside and thought.lstrip().startswith(OPEN) else ""
        return [opening, thought.strip().removeprefix(OPEN).strip(), inside, words.strip()]

    def shown(self, text: str) -> str:
        """The text's beginning as it was written, for an error."""
        words = " ".join(sanitized(text.replace(self.seam, "")).split())
        return words if len(words) <= 60 else f"{words[:60]}..."

    def _render(self, turns: int, *, generation: bool) -> tuple[str, Spans, int]:
        tags = self.template.tags and not generation
        text, spans = render(self.tokenizer, self._given[:turns], tools=self._tools, generation=generation, tags=tags)
        self._refuse_lost_tools(text)
        at = 0
        for message in self.messages[:turns]:
            if message["role"] == "assistant":
                continue
            words = message["content"].strip()
            spelled = [words]
            if message["role"] == "tool":  # gpt-oss's and Llama 3's templates write a result as JSON
                spelled.append(_as_json(words))
            places = ((text.find(w, 0 if message["role"] == "system" else at), len(w)) for w in spelled)
            found, length = min((place for place in places if place[0] >= 0), default=(-1, 0))
            if found < 0:
                raise UserError(
                    "a chat template renders every turn as it was written",
                    got=f"the {message['role']}'s `{self.shown(words)}` lost or changed",
                    remedy="use a template that keeps it, or leave such turns out",
                )
            at = at if message["role"] == "system" else found + length
        return text, spans, at

    def _refuse_lost_tools(self, text: str) -> None:
        lost = [name for name in map(_name, self._tools or ()) if name not in text]
        if lost:
            raise UserError(
                "a chat template renders the definitions of tools that it is given",
                got=f"`{self.shown(lost[0])}` lost",
                remedy="use a template that takes tools, or describe them in the system prompt",
            )


def _turn(message: Any) -> dict[str, Any]:
    """A message without what it does not have; UserError for a content that is no text."""
    turn = {key: value for key, value in message.items() if value is not None and value != []}
    if "tool_calls" in turn:
        turn["content"] = turn.get("content", "")
        turn["tool_calls"] = [_call(call) for call in turn["tool_calls"]]
    found = None if isinstance(turn.get("content"), str) else type(turn.get("content")).__name__
    for text in _texts(turn):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            found = f"half a character, U+{ord(text[error.start]):04X}"
    if found is not None:
        raise UserError(
            "a turn's content is Unicode text",
            got=f"{found} in a turn of the {turn['role']}'s",
            remedy="correct the turn, or leave it out",
        )
    return turn


def _call(call: Any) -> dict[str, Any]:
    """A call of a tool with its arguments as an object."""
    function = call.get("function", call) if isinstance(call, dict) else None
    arguments = function.get("arguments", {}) if isinstance(function, dict) else None
    try:
        found = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        found = None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not isinstance(found, dict):
        raise UserError(
            "a call of a tool has a name and, as arguments, an object or the JSON text of one",
            got=f"`{json.dumps(call, ensure_ascii=False, default=repr)[:200]}`",
            remedy="correct the call, or leave the conversation out",
        )
    known = {key: value for key, value in call.items() if key not in ("name", "arguments", "function")}
    return {"type": "function", **known, "function": {**function, "arguments": found}}


def _folded(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with its system turn as the beginning of the user's."""
    system, *rest = turns
    if not rest or rest[0]["role"] != "user":
        return [{**system, "role": "user"}, *rest]
    return [{**rest[0], "content": f"{system['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


def _given(message: dict[str, Any], template: Template) -> dict[str, Any]:
    """A turn in the form that the template takes it in."""
    given = dict(message)
    if message["role"] == "assistant" and template.thought_field and CLOSE in message["content"]:
        thought, _, words = message["content"].partition(CLOSE)
        given["reasoning_content"] = thought.lstrip().removeprefix(OPEN).strip("\n")
        given["content"] = words.lstrip("\n")
    if "tool_calls" in message:
        form = template.call_form
        if form is None:
            raise UserError(
                "a chat template renders calls of tools",
                got="a template that has no form for them",
                remedy="use a template that takes tools, or leave such conversations out",
            )
        if form.text:
            given["tool_calls"] = [_with_text(call) for call in message["tool_calls"]]
        if form.none and not given["content"]:
            given["content"] = None
    return in_parts(given) if template.parts else given


def _with_text(call: dict[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _name(tool: dict[str, Any]) -> str:
    return tool.get("function", tool)["name"]


def _refuse_nameless(tools: Tools) -> None:
    for tool in tools:
        function = tool.get("function", tool)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise UserError(
                "the definition of a tool is an object with a name, alone or as `function`",
                got=f"`{json.dumps(tool, ensure_ascii=False, default=repr)[:200]}`",
                remedy="correct the definition",
            )


def _texts(value: Any) -> Iterator[str]:
    """All texts of plain JSON, keys included, and its numbers as they are spelt there."""
    match value:
        case str():
            yield value
        case dict():
            for key, inner in value.items():
                yield str(key)
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
        case int() | float() if not isinstance(value, bool):
            yield json.dumps(value)


def _as_json(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)[1:-1]


def _cut(value: Any, marks: Sequence[str], seam: str) -> Any:
    """Plain JSON with a seam behind the first character of every mark: no piece between seams holds a whole one."""
    match value:
        case str() if any(mark in value for mark in marks):
            return re.sub(f"(?={'|'.join(map(re.escape, marks))})(.)", rf"\1{seam}", value, flags=re.DOTALL)
        case dict():
            return {_cut(key, marks, seam): _cut(inner, marks, seam) for key, inner in value.items()}
        case list() | tuple():
            return [_cut(inner, marks, seam) for inner in value]
    return value
