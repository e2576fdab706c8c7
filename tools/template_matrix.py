"""Which chat templates work with which conversations, as a table in Markdown.

    .venv/bin/python tools/template_matrix.py [FOLDER]

Each `*.jinja` of the folder (`tests/templates`) gets a toy tokenizer. A cell says how the loss mask is found
(`core/tokens.py`), or for what rule the conversation is refused.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from afterbase.core.errors import UserError
from afterbase.core.tokens import mask_form, prompt_ids, training_rows
from template_toys import FOLDER, tokenizer

Conversation = tuple[list[dict[str, Any]], list[dict[str, Any]] | None]

_TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Which city."}},
            "required": ["city"],
        },
    },
}
_CALL = {"id": "call00001", "type": "function", "function": {"name": "look_up", "arguments": {"city": "Paris"}}}


def _turn(role: str, content: str, **further: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **further}


_ONE = [_turn("user", "2 + 2?"), _turn("assistant", "It is 4.")]
_THREE = [*_ONE, _turn("user", "And 3?"), _turn("assistant", "5."), _turn("user", "Sure?"), _turn("assistant", "Yes.")]
_CALLS = [
    _turn("user", "How is Paris?"),
    _turn("assistant", "", tool_calls=[_CALL]),
    _turn("tool", "Sunny.", tool_call_id="call00001", name="look_up"),
    _turn("assistant", "The sun shines."),
]


def _thinking(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with a thought before every answer."""
    thought = "<think>\nHm.\n</think>\n\n"
    return [{**m, "content": thought + m["content"]} if m["role"] == "assistant" else m for m in messages]


CONVERSATIONS: dict[str, Conversation] = {
    "one turn": (_ONE, None),
    "three turns": (_THREE, None),
    "system": ([_turn("system", "Be short."), *_ONE], None),
    "calls": (_CALLS, None),
    "tools": (_CALLS, [_TOOL]),
    "thinking": (_thinking(_THREE), None),
    "thinking, tools": (_thinking(_CALLS), [_TOOL]),
}


def cell(template: str, conversation: Conversation) -> str:
    """`ok` and the mask's form, or the rule that refuses; raises AssertionError for a mask that generation refutes."""
    messages, tools = conversation
    made = tokenizer(template)
    try:
        rows = training_rows(made, messages, tools=tools)
    except UserError as error:
        return f"refused: {error.rule}"
    answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    starts = [(row, i) for row in rows for i in range(1, len(row.ids)) if row.trained[i - 1 : i + 1] == [False, True]]
    assert len(starts) == len(answers), "each answer is trained once"
    for turn, (row, start) in zip(answers, starts, strict=True):
        prompt = prompt_ids(made, messages[:turn], tools)
        assert row.ids[: len(prompt)] == prompt, "and behind its own prompt"
        assert start == len(prompt) or mask_form(made, rows) == "generation_tags", "whole, but for the template's tags"
    return f"ok, {mask_form(made, rows).replace('_', ' ')}"


def table(folder: Path) -> str:
    """A row for each template, a column for each kind of conversation."""
    lines = ["| template | " + " | ".join(CONVERSATIONS) + " |", "|---" * (len(CONVERSATIONS) + 1) + "|"]
    for path in sorted(folder.glob("*.jinja")):
        cells = [cell(path.read_text(), conversation) for conversation in CONVERSATIONS.values()]
        lines.append(f"| {path.stem} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # a system prompt within the user's turn is `ok`
    print(table(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
