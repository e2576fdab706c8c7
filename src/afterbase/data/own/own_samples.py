"""A user's row of any form as what a file of samples holds of it, and a row of such a file as a user's row again.

A conversation is one. A text is one turn of the role `text`. A prompt without an answer has the kind `prompt`. Of
preferences the messages are the prompt with the better answer; both conversations, the margin, and the label of a
judged answer stay beside them, in `extra`, where training finds them again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from afterbase.core.sample import SAMPLE_SCHEMA
from afterbase.data.formats.conversations import Conversation
from afterbase.data.formats.export import with_marks
from afterbase.data.own.row_forms import Form
from afterbase.data.own.row_turns import conversation, labelled, plain_text, preference, prompt_alone

PROMPT_KIND = "prompt"
"""The kind of a sample that has no answer; cleaning asks none of it (`data/clean/filters.py`)."""


@dataclass
class Said:
    """The conversation of a row, what of it stands in `extra`, and its kind where the form says it."""

    conversation: Conversation
    beside: dict[str, Any] = field(default_factory=dict)
    kind: str | None = None


def said_of(row: Mapping[str, Any], form: Form, *, texts: bool) -> Said:
    """What a row without nulls says. An empty turn or a missing answer of a conversation is left for the filters.

    ValueError and WrongRowError as the readers of `row_turns.py` raise them; `texts`: every cell is one, as in a CSV.
    """
    match form:
        case "text":
            return Said(Conversation([{"role": "text", "content": plain_text(row)}]))
        case "prompts":
            return Said(Conversation(prompt_alone(row, form)), kind=PROMPT_KIND)
        case "preferences":
            pair = preference(row)
            whole = {
                side: [*pair.prompt, {"role": "assistant", "content": answer}]
                for side, answer in (("chosen", pair.chosen), ("rejected", pair.rejected))
            }
            margin = {} if pair.margin is None else {"margin": pair.margin}
            return Said(Conversation(whole["chosen"]), {**whole, **margin})
        case "labelled":
            judged = labelled(row, texts=texts)
            turns = [*judged.prompt, {"role": "assistant", "content": judged.response}]
            return Said(Conversation(turns), {"label": judged.label})
    return Said(conversation(row, form))


def unfolded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a file of samples with what its `extra` holds as columns of its own; another row as it is.

    What the file says of single turns stands in the turns again, and a single turn of the role `text` is a text. A row
    that was dropped has why under `dropped`.
    """
    if not set(SAMPLE_SCHEMA.names) <= {*row, "dropped"}:
        return dict(row)
    extra = json.loads(row["extra"]) if isinstance(row["extra"], str) else dict(row["extra"] or {})
    plain = with_marks({"messages": row["messages"], "extra": extra})
    about = {name: row[name] for name in ("id", "dropped") if row.get(name) is not None}
    columns = {**about, **plain.pop("extra"), **plain}
    if "chosen" in extra and "rejected" in extra:
        columns.pop("messages")  # the better of both conversations
    elif [turn["role"] for turn in row["messages"]] == ["text"]:
        columns["text"] = columns.pop("messages")[0]["content"]
    return columns
