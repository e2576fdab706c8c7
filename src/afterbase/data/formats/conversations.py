"""One row of somebody else's file as a conversation: everything in it is honoured or refused, nothing is dropped.

A thought beside an answer (`reasoning_content`, `thinking`, `reasoning`) is put before it in `<think>` tags; a row's
`system` becomes the first turn; an assistant's turn of `weight` 0 or `train` false is context alone
(`extra.untrained`). What else a turn holds is kept in `extra.turns`. Calls of tools are in OpenAI's present form there
(`tool_calls` of type, function, arguments), whether a file has them so, as `function_call`, or as a turn of ShareGPT's
`function_call`. The definitions of tools go to `extra.tools`, as a list. A conversation without an answer, or with an
empty turn, is read as it stands: cleaning drops it, with its reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from afterbase.core.reasoning import join

_ROLES = {
    "human": "user", "user": "user", "system": "system", "developer": "system", "assistant": "assistant",
    "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "model": "assistant",
    "function_call": "assistant", "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
}  # fmt: skip
_NAMES = (("role", "from"), ("content", "value"))
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")
_MARKS = ("weight", "train", "trainable", "training")
_PARTS_MARKED = "train_detail"  # axolotl's marks of single characters
_CALLS = ("tool_calls", "function_call")
TOOLS = ("tools", "functions")
_NOTHING = ("", [], {}, "[]")
SYSTEM = ("system", "system_prompt")


@dataclass
class Conversation:
    """The turns, which of them are context alone, what else each holds, by its place, and the tools it may call."""

    messages: list[dict[str, str]]
    untrained: list[int] = field(default_factory=list)
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    tools: list[dict[str, Any]] | None = None

    def extra(self) -> dict[str, Any]:
        """What a sample's `extra` holds of it beside the messages."""
        held = {"untrained": self.untrained, "turns": self.others, "tools": self.tools}
        return {name: value for name, value in held.items() if value}


def conversation_of(raw: Mapping[str, Any]) -> Conversation:
    """The conversation of a row without nulls. ValueError, in words for the user, where there is none."""
    named = [name for name in ("messages", "conversations") if name in raw]
    if len(named) != 1:
        raise ValueError("both `messages` and `conversations`" if named else "neither `messages` nor `conversations`")
    out = Conversation([], tools=_tools(raw))
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
    calls = _calls(turn, place)
    role = _one_of(turn, _NAMES[0], place)
    if not isinstance(role, str):
        raise ValueError(f"turn {place} has a role that is no text: role and text are both strings")
    content = _one_of(turn, _NAMES[1], place, missing=bool(calls))
    turn = {key: value for key, value in turn.items() if value is not None}
    content = "" if calls and content is None else _text(content, place)
    if role.lower() == "function_call" and not calls:
        calls, content = _spoken_calls(content, place), ""
    role = _ROLES.get(role.lower(), role)
    left = {key: value for key, value in turn.items() if key not in (*_NAMES[0], *_NAMES[1], *_CALLS)}
    if calls:
        if role != "assistant":
            raise ValueError(f"turn {place} calls tools and is the {role}'s: only the assistant's turns call them")
        left["tool_calls"] = calls
    if role == "assistant":
        content = _with_thought(left, content, place)
        if _is_context(left, place):
            out.untrained.append(place)
    elif any(left.pop(mark, 0) for mark in _MARKS):
        raise ValueError(f"turn {place} is the {role}'s and to be trained: only the assistant's turns are")
    out.messages.append({"role": role, "content": content})
    if left:
        out.others[str(place)] = left


def _one_of(turn: Mapping[str, Any], names: Sequence[str], place: int, *, missing: bool = False) -> Any:
    """The value of the one key that is there; None where it is null, or not there and may be `missing`."""
    found = [turn[name] for name in names if turn.get(name) is not None]
    if not found and not missing and not any(name in turn for name in names):
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
    if left.pop(_PARTS_MARKED, None):
        raise ValueError(f"turn {place} has `{_PARTS_MARKED}`: a turn is trained as a whole or not")
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


def _tools(raw: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The definitions of tools of a row, each as {type, function}; None without any."""
    named = [name for name in TOOLS if name in raw and raw[name] not in _NOTHING]
    if not named:
        return None
    if len(named) > 1:
        raise ValueError("both `tools` and `functions`")
    tools = _parsed(raw[named[0]], f"`{named[0]}`")
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise ValueError(f"`{named[0]}` is no list of objects")
    return [dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)} for tool in tools]


def _calls(turn: Mapping[str, Any], place: int) -> list[dict[str, Any]]:
    """The calls of tools of a turn in OpenAI's form; an old `function_call` is one."""
    named = [name for name in _CALLS if turn.get(name) is not None and turn[name] not in _NOTHING]
    if not named:
        return []
    if len(named) > 1:
        raise ValueError(f"turn {place} has both `tool_calls` and `function_call`")
    calls = _parsed(turn[named[0]], f"`{named[0]}` of turn {place}")
    return [_call(call, place) for call in (calls if isinstance(calls, list) else [calls])]


def _spoken_calls(content: str, place: int) -> list[dict[str, Any]]:
    """The calls that a turn of ShareGPT's `function_call` writes as JSON, one object or a list."""
    calls = _parsed(content, f"the call of turn {place}")
    return [_call(call, place) for call in (calls if isinstance(calls, list) else [calls])]


def _call(call: Any, place: int) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError(f"turn {place} has a call of a tool without a `name`")
    if not isinstance(function.get("arguments", {}), Mapping | str):
        raise ValueError(f"turn {place} has a call of a tool whose `arguments` are neither an object nor a text")
    if function is call:
        identifier = {"id": call["id"]} if "id" in call else {}
        function = {key: value for key, value in call.items() if key not in ("id", "type")}
        return {**identifier, "type": "function", "function": {"arguments": {}, **function}}
    return {"type": "function", **call, "function": {"arguments": {}, **function}}


def _parsed(value: Any, what: str) -> Any:
    """A value, or the one that a text holds as JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise ValueError(f"{what} is a text and no JSON") from None
