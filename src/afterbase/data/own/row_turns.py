"""One row of any form as turns: a whole conversation, a prompt with two answers, a judged answer, a prompt alone.

ValueError, in words for the user, is for what is odd of one row, which is then left out. `WrongRowError` is for what
is wrong with the file, and ends its reading: a role that nobody knows, a label or a margin that is a text.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from afterbase.data.formats.conversations import Conversation, conversation_of
from afterbase.data.own.row_forms import (
    ANSWERS,
    CONVERSATIONS,
    INPUTS,
    LABELS,
    PROMPTS,
    SCORES,
    SYSTEM,
    TOOLS,
    Form,
    first,
    value_of,
)

Turn = dict[str, str]
_ROLES = ("system", "user", "assistant", "tool")
_SPEAKERS = re.compile(r"\n\n(Human|Assistant):")  # Anthropic's helpful-and-harmless sets
_HUMAN = "\n\nHuman:"


class WrongRowError(Exception):
    """What is wrong with a file, seen in one row: the rule, what was got, the remedy."""

    def __init__(self, rule: str, *, got: str, remedy: str) -> None:
        super().__init__(rule)
        self.rule, self.got, self.remedy = rule, got, remedy


@dataclass(frozen=True)
class Preference:
    """A prompt's turns, a better and a worse answer to it, and by how much it is better, where the row says so."""

    prompt: list[Turn]
    chosen: str
    rejected: str
    margin: float | None


@dataclass(frozen=True)
class Labelled:
    """A prompt's turns, one answer, and whether it is a good one."""

    prompt: list[Turn]
    response: str
    label: bool


def answered(row: Mapping[str, Any], form: Form, trained: Literal["all", "last"]) -> Conversation:
    """The conversation of a row of a form that holds answers, without nulls; who bears loss is in `untrained`.

    Turns of a prompt beside a completion are context. ValueError for a conversation that has no answer, begins with
    one, has an empty turn, or no turn that is to be trained.
    """
    found = _with_known_roles(conversation(row, form))
    roles = [turn["role"] for turn in found.messages]
    answers = [place for place, role in enumerate(roles) if role == "assistant"]
    if not answers:
        raise ValueError("the conversation has no answer")
    if next(role for role in roles if role != "system") == "assistant":
        raise ValueError("the conversation begins with an answer")
    _refuse_empty(found)
    context = set(found.untrained)
    if trained == "last":
        context |= set(answers[:-1])
    if context >= set(answers):
        raise ValueError("no turn is to be trained")
    found.untrained = sorted(context)
    return found


def conversation(row: Mapping[str, Any], form: Form) -> Conversation:
    """The same turns as `answered` reads, as they stand: without an answer, too, with empty turns and any roles.

    Turns of a prompt beside a completion are context.
    """
    before, after = _asked(row, form), _answer(row, form)
    found = conversation_of({"messages": [*before, *after], **_beside(row)})
    if form == "prompt_completion":
        asked = range(len(found.messages) - len(after))
        context = [place for place in asked if found.messages[place]["role"] == "assistant"]
        found.untrained = sorted({*found.untrained, *context})
    return found


def plain_text(row: Mapping[str, Any]) -> str:
    """The text of a row of texts. ValueError for an empty one."""
    text = _as_text(row["text"])
    if not text.strip():
        raise ValueError("the text is empty")
    return text


def preference(row: Mapping[str, Any]) -> Preference:
    """The two answers of a row and their prompt: the explicit one, or the turns that both conversations begin with.

    ValueError where what follows the prompt is not one answer each, and where both are equal.
    """
    sides = [_conversation(_spoken(row[side], "assistant"), {}) for side in ("chosen", "rejected")]
    one, other = (side.messages for side in sides)
    whole = any(turns[0]["role"] != "assistant" for turns in (one, other))
    turns: list[dict[str, Any]] = []
    if first(row, PROMPTS) is not None:
        turns = _question(row)
    elif not whole and first(row, CONVERSATIONS) is not None:
        turns = _asked(row, "chat")
    asked = _conversation(turns, {}) if turns else Conversation([])
    _refuse_tools(row, asked, *sides)
    shared = 0
    while shared < min(len(one), len(other)) - 1 and one[shared] == other[shared]:
        shared += 1
    prompt = _longer(asked.messages, one[:shared])
    for side, rest in (("chosen", one[shared:]), ("rejected", other[shared:])):
        if [turn["role"] for turn in rest] != ["assistant"]:
            raise ValueError(f"`{side}` is not one answer after the prompt that both share")
        if not rest[0]["content"].strip():
            raise ValueError(f"`{side}` is an empty answer")
    _refuse_no_question(prompt)
    if one[shared]["content"].strip() == other[shared]["content"].strip():
        raise ValueError("`chosen` and `rejected` are equal")
    prompt = _conversation(prompt, row).messages
    return Preference(prompt, one[shared]["content"], other[shared]["content"], _margin(row))


def labelled(row: Mapping[str, Any], *, texts: bool) -> Labelled:
    """The answer of a row, its prompt and its label; with `texts` a label may be one, as in a CSV.

    WrongRowError for a label that is no yes or no.
    """
    label = _label(row, texts)
    found = _conversation([*_asked(row, "labelled"), *_answer(row, "labelled")], row)
    _refuse_tools(row, found)
    *prompt, last = found.messages
    if last["role"] != "assistant" or not last["content"].strip():
        raise ValueError("the row has no answer")
    _refuse_no_question(prompt)
    return Labelled(prompt, last["content"], label)


def prompt_alone(row: Mapping[str, Any], form: Form) -> list[Turn]:
    """The turns of a row's prompt; of a whole conversation those before its last answer."""
    if form == "preferences":
        return preference(row).prompt
    found = _conversation(_asked(row, form), row)
    _refuse_tools(row, found)
    turns = found.messages
    if turns[-1]["role"] == "assistant":
        turns = turns[:-1]
    _refuse_no_question(turns)
    return turns


def _asked(row: Mapping[str, Any], form: Form) -> list[dict[str, Any]]:
    """The turns of a row as they stand there: of a conversation all, else those of the prompt."""
    if form in ("chat", "sharegpt") or (form in ("labelled", "prompts") and first(row, PROMPTS) is None):
        name = first(row, CONVERSATIONS)
        assert name is not None
        turns = _list_in(row[name])
        if not isinstance(turns, list | Mapping):
            raise ValueError(f"`{name}` is a {type(turns).__name__} and no list of turns")
        return _spoken(turns, "user")
    return _question(row)


def _question(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The turns of the column that asks; an `instruction` has its `input` in lines of its own, after its `history`."""
    name = first(row, PROMPTS)
    assert name is not None
    if name != "instruction" or not isinstance(row[name], str):
        return _spoken(row[name], "user")
    said = [row[name], _as_text(value_of(row, INPUTS) or "")]
    return [*_history(row.get("history") or []), {"role": "user", "content": "\n".join(filter(None, said))}]


def _answer(row: Mapping[str, Any], form: Form) -> list[dict[str, Any]]:
    """The turns that answer, of a row that holds them apart."""
    apart = form in ("alpaca", "prompt_completion") or (form == "labelled" and first(row, PROMPTS) is not None)
    if apart and first(row, ANSWERS) is None:
        raise ValueError("the row has no answer")
    return _spoken(value_of(row, ANSWERS), "assistant") if apart else []


def _history(value: Any) -> list[dict[str, Any]]:
    """Earlier exchanges of Alpaca's form: a list of [question, answer]."""
    exchanges = _list_in(value)
    if not isinstance(exchanges, list) or not all(isinstance(e, list | tuple) and len(e) == 2 for e in exchanges):
        raise ValueError("`history` is no list of [question, answer]")
    roles = ("user", "assistant")
    return [{"role": r, "content": _as_text(text)} for e in exchanges for r, text in zip(roles, e, strict=True)]


def _spoken(value: Any, role: str) -> list[dict[str, Any]]:
    """A list of turns, one turn, such a list as JSON text, or a text that `role` says."""
    if isinstance(value, str):
        value = _human_and_assistant(value) if value.startswith(_HUMAN) else _turns_in(value)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return [{"role": role, "content": _as_text(value)}]
    if isinstance(value, Mapping) and isinstance(value.get("role", value.get("from")), str):
        value = [value]
    if not isinstance(value, list | Mapping):
        raise ValueError(f"a {type(value).__name__} stands where a text or a list of turns is read")
    if not isinstance(value, list):
        lengths = {len(part) if isinstance(part, list) else -1 for part in value.values()}
        if len(lengths) != 1 or -1 in lengths:
            raise ValueError("an object stands where a text or a list of turns is read")
        value = [dict(zip(value, parts, strict=True)) for parts in zip(*value.values(), strict=True)]
    return [turn for turn in value if not _is_empty_system(turn)]


def _human_and_assistant(text: str) -> list[dict[str, Any]]:
    _, *pieces = _SPEAKERS.split(text)
    roles = {"Human": "user", "Assistant": "assistant"}
    turns = [{"role": roles[who], "content": said.strip()} for who, said in zip(pieces[::2], pieces[1::2], strict=True)]
    return turns if turns[-1]["content"] or turns[-1]["role"] == "user" else turns[:-1]


def _turns_in(text: str) -> Any:
    """The turns that a text holds as JSON, as a CSV has them; another text, such as an answer in JSON, as it is."""
    value = _list_in(text)
    return value if value and all(map(_is_turn, value)) else text


def _is_turn(value: Any) -> bool:
    return isinstance(value, Mapping) and ({"role", "content"} <= set(value) or {"from", "value"} <= set(value))


def _list_in(value: Any) -> Any:
    """The list that a text holds as JSON; another value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _is_empty_system(turn: Any) -> bool:
    role = turn.get("role", turn.get("from")) if isinstance(turn, Mapping) else None
    return role in ("system", "developer") and turn.get("content", turn.get("value")) in ("", None)


def _conversation(turns: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> Conversation:
    """Turns with the row's system prompt and tools. WrongRowError for a role that nobody knows."""
    return _with_known_roles(conversation_of({"messages": list(turns), **_beside(row)}))


def _with_known_roles(found: Conversation) -> Conversation:
    for place, turn in enumerate(found.messages):
        if turn["role"] not in _ROLES:
            raise WrongRowError(
                f"a turn is one of {', '.join(_ROLES)}",
                got=f"turn {place} is of the role `{turn['role'][:40]}`",
                remedy="write one of these roles, or take the rows with others out",
            )
    return found


def _beside(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in (*SYSTEM, *TOOLS) if name in row}


def _longer(prompt: list[Turn], shared: list[Turn]) -> list[Turn]:
    """The prompt of a row that names it, and whose two conversations begin with it."""
    if not prompt or not shared:
        return prompt or shared
    short, long = sorted((_stripped(prompt), _stripped(shared)), key=len)
    if long[-len(short) :] != short and long[: len(short)] != short:
        raise ValueError("`chosen` and `rejected` do not begin with the row's prompt")
    return shared if len(shared) >= len(prompt) else prompt


def _stripped(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"].strip()) for turn in turns]


def _margin(row: Mapping[str, Any]) -> float | None:
    """The row's margin, or the difference of its two scores; None where it has neither."""
    if "margin" in row:
        return _number(row["margin"], "margin")
    pair = next((pair for pair in SCORES if all(name in row for name in pair)), None)
    return None if pair is None else _number(row[pair[0]], pair[0]) - _number(row[pair[1]], pair[1])


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongRowError(
            f"`{name}` is a number",
            got=f"{json.dumps(value, default=str)[:60]}",
            remedy="write a number, or leave it out",
        )
    if not math.isfinite(value):
        raise ValueError(f"`{name}` is no finite number")
    return float(value)


def _label(row: Mapping[str, Any], texts: bool) -> bool:
    name = first(row, LABELS)
    assert name is not None
    value = row[name]
    if texts and isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower(), value)
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise WrongRowError(
            "a label is true or false, or 1 or 0",
            got=f"`{name}` is {json.dumps(value, default=str)[:60]}",
            remedy="write true for good answers and false for bad ones, without quotes",
        )
    return bool(value)


def _as_text(value: Any) -> str:
    """A text; a number as it is written. ValueError for NaN, which stands for a missing one in Parquet."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} stands where a text is read")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__} stands where a text is read")
    return value


def _refuse_empty(found: Conversation) -> None:
    for place, turn in enumerate(found.messages):
        calls = found.others.get(str(place), {}).get("tool_calls")
        if not turn["content"].strip() and turn["role"] in ("user", "assistant") and not calls:
            raise ValueError(f"turn {place}, the {turn['role']}'s, is empty")


def _refuse_tools(row: Mapping[str, Any], *found: Conversation) -> None:
    defined = any(row.get(name) not in (None, "", "[]", []) for name in TOOLS)
    called = any("tool_calls" in turn for one in found for turn in one.others.values())
    if defined or called or any(turn["role"] == "tool" for one in found for turn in one.messages):
        raise ValueError("tools are read of conversations alone, not of preferences, labels and prompts")


def _refuse_no_question(prompt: Sequence[Turn]) -> None:
    if not prompt:
        raise ValueError("the row has no prompt")
    if prompt[-1]["role"] != "user":
        raise ValueError("the prompt does not end in a user's turn")
    if not all(turn["content"].strip() for turn in prompt):
        raise ValueError("a turn of the prompt is empty")
