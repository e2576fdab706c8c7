"""One row of somebody else's file as a conversation: everything in it is honoured or refused, nothing is dropped.

A thought beside an answer (`reasoning_content`, `thinking`, `reasoning`) is put before it in `<think>` tags; a row's
`system` becomes the first turn; an assistant's turn of `weight` 0 or `train` false is context alone
(`extra.untrained`). What else a turn holds is kept in `extra.turns`. Calls of tools are refused: no stage trains them.
A conversation without an answer, or with an empty turn, is read as it stands: cleaning drops it, with its reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from afterbase.core.reasoning import join

_ROLES = {
    "human": "user", "user": "user", "system": "system", "developer": "system", "assistant": "assistant",
    "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "model": "assistant",
}  # fmt: skip
_NAMES = (("role", "from"), ("content", "value"))
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")
_MARKS = ("weight", "train", "trainable")
_CALLS = ("tool_calls", "function_call", "tools", "functions")
SYSTEM = ("system", "system_prompt")


@dataclass
class Conversation:
    """The turns, which of them are context alone, and what else each holds, by its place."""

    messages: list[dict[str, str]]
    untrained: list[int] = field(default_factory=list)
    others: dict[str, dict[str, Any]] = field(default_factory=dict)


def conversation_of(raw: Mapping[str, Any]) -> Conversation:
    """The conversation of a row without nulls. ValueError, in words for the user, where there is none."""
    named = [name for name in ("messages", "conversations") if name in raw]
    if len(named) != 1:
        raise ValueError("both `messages` and `conversations`" if named else "neither `messages` nor `conversations`")
    _refuse_calls(raw, "the row")
    out = Conversation([])
    for place, turn in enumerate(_turns(raw[named[0]], named[0])):
        _add(out, turn, place)
    for name in SYSTEM:
        if raw.get(name):
            _begin(out, raw[name], name)
    return out


def _turns(value: Any, name: str) -> Sequence[Any]:
    """A list of turns, as JSON text too, or as one object of lists (the `datasets` library's Sequence)."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"`{name}` is a text and no list of turns") from None
    if isinstance(value, Mapping) and value and all(isinstance(part, list) for part in value.values()):
        if len({len(part) for part in value.values()}) > 1:
            raise ValueError(f"`{name}` is an object of lists of different lengths")
        value = [dict(zip(value, parts, strict=True)) for parts in zip(*value.values(), strict=True)]
    if not isinstance(value, list):
        raise ValueError(f"`{name}` is no list of turns")
    if not value:
        raise ValueError(f"`{name}` has no turns")
    return value


def _add(out: Conversation, turn: Any, place: int) -> None:
    if not isinstance(turn, Mapping):
        raise ValueError(f"turn {place} is no object")
    role, content = (_one_of(turn, names, place) for names in _NAMES)
    turn = {key: value for key, value in turn.items() if value is not None}
    _refuse_calls(turn, f"turn {place}")
    content = _text(content, place)
    if not isinstance(role, str):
        raise ValueError(f"turn {place} has a role that is no text: role and text are both strings")
    role = _ROLES.get(role.lower(), role)
    if role.lower() in ("tool", "function", "function_call", "observation", "ipython"):
        raise ValueError(f"turn {place} is a tool's: calls of tools are not trained")
    left = {key: value for key, value in turn.items() if key not in (*_NAMES[0], *_NAMES[1], *_CALLS)}
    if role == "assistant":
        content = _with_thought(left, content, place)
        if _is_context(left, place):
            out.untrained.append(place)
    elif any(left.pop(mark, 0) for mark in _MARKS):
        raise ValueError(f"turn {place} is the {role}'s and to be trained: only the assistant's turns are")
    out.messages.append({"role": role, "content": content})
    if left:
        out.others[str(place)] = left


def _one_of(turn: Mapping[str, Any], names: Sequence[str], place: int) -> Any:
    found = [turn[name] for name in names if turn.get(name) is not None]
    if not found and not any(name in turn for name in names):
        raise ValueError(f"turn {place} has no `{names[0]}`")
    if len(found) > 1:
        raise ValueError(f"turn {place} has both `{names[0]}` and `{names[1]}`")
    return found[0] if found else None


def _text(content: Any, place: int) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(content, list):
        kinds = [part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__ for part in content]
        given = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        texts = [text for text in given if isinstance(text, str)]
        if any(kind != "text" for kind in kinds) or len(texts) < len(content):
            raise ValueError(f"turn {place} has parts that are no text: {', '.join(sorted(set(map(str, kinds))))[:60]}")
        content = "".join(texts)
    if not isinstance(content, str):
        what = "null" if content is None else type(content).__name__
        raise ValueError(f"turn {place} holds {what} and no text: role and text are both strings")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise ValueError(f"turn {place} holds half a character (a lone surrogate)") from None
    return content


def _with_thought(left: dict[str, Any], content: str, place: int) -> str:
    thoughts = [left.pop(name) for name in _THOUGHTS if name in left]
    if not all(isinstance(thought, str) for thought in thoughts):
        raise ValueError(f"turn {place} has a thought that is no text")
    distinct = list(dict.fromkeys(thought.strip("\n") for thought in thoughts if thought.strip()))
    if not distinct:
        return content
    if len(distinct) > 1 or "</think>" in content:
        raise ValueError(f"turn {place} has two thoughts, one of them beside its text")
    return join(distinct[0], content, "tags")


def _is_context(left: dict[str, Any], place: int) -> bool:
    marks = {mark: left.pop(mark) for mark in _MARKS if mark in left}
    for mark, value in marks.items():
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            raise ValueError(f"turn {place} has `{mark}` {value!r}: a turn is trained (1) or not (0)")
    if len({bool(value) for value in marks.values()}) > 1:
        raise ValueError(f"turn {place} is to be trained and not: {', '.join(marks)}")
    return any(not value for value in marks.values())


def _begin(out: Conversation, system: Any, name: str) -> None:
    text = _text(system, 0)
    first = out.messages[0] if out.messages else {"role": "", "content": ""}
    if first["role"] == "system":
        if first["content"] != text:
            raise ValueError(f"`{name}` and the system's turn say different things")
        return
    out.messages.insert(0, {"role": "system", "content": text})
    out.untrained = [place + 1 for place in out.untrained]
    out.others = {str(int(place) + 1): others for place, others in out.others.items()}


def _refuse_calls(values: Mapping[str, Any], where: str) -> None:
    for name in _CALLS:
        if name in values and values[name] not in ("", [], {}, "[]"):
            raise ValueError(f"{where} has `{name}`: calls of tools are not trained")
