"""What form a row has, told by the names of its columns.

The names are those in use where such files are made: TRL's dataset formats (`prompt`, `completion`, `chosen`,
`rejected`, `label`), ShareGPT's and Alpaca's as LLaMA-Factory (with its `kto_tag`) and axolotl read them, and those of
public sets of questions and answers. Where a row has several of one kind, the first in the order of the tables
below is meant.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

Form = Literal["chat", "sharegpt", "alpaca", "prompt_completion", "text", "preferences", "labelled", "prompts"]
FORMS: tuple[Form, ...] = get_args(Form)

CONVERSATIONS = ("messages", "conversations", "conversation")
PROMPTS = ("prompt", "instruction", "question", "query", "problem", "input")
ANSWERS = ("completion", "response", "output", "solution", "answer")
INPUTS = ("input", "context")
KTO_TAG = "kto_tag"
LABELS = ("label", KTO_TAG)
SYSTEM = ("system", "system_prompt")
TOOLS = ("tools", "functions")
LICENCES = ("license", "licence")
SCORES = (("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"), ("chosen_rating", "rejected_rating"))
_KEPT = (*LICENCES, "source", "id")
_NEEDED: dict[Form, tuple[tuple[str, ...], ...]] = {
    "chat": (CONVERSATIONS,),
    "sharegpt": (CONVERSATIONS,),
    "alpaca": (("instruction",), ANSWERS),
    "prompt_completion": (PROMPTS, ANSWERS),
    "text": (("text",),),
    "preferences": (("chosen",), ("rejected",)),
    "labelled": ((*CONVERSATIONS, *PROMPTS), LABELS),
    "prompts": ((*CONVERSATIONS, *PROMPTS),),
}
_OPTIONAL: dict[Form, tuple[str, ...]] = {
    "chat": (*SYSTEM, *TOOLS),
    "sharegpt": (*SYSTEM, *TOOLS),
    "alpaca": (*SYSTEM, *TOOLS),
    "prompt_completion": (*SYSTEM, *TOOLS),
    "text": (),
    "preferences": (*CONVERSATIONS, *PROMPTS, *SYSTEM, *TOOLS, "margin", *(name for pair in SCORES for name in pair)),
    "labelled": (*ANSWERS, *SYSTEM, *TOOLS),
    "prompts": (*SYSTEM, *TOOLS),
}
_BESIDE_INSTRUCTION = (*INPUTS, "history")
KNOWN = frozenset(name for form in FORMS for name in (*sum(_NEEDED[form], ()), *_OPTIONAL[form])) | {
    *_KEPT,
    *_BESIDE_INSTRUCTION,
}


def form_of(columns: Collection[str]) -> Form | None:
    """The form of a row that has these columns, none of them null; None where they tell no form.

    >>> form_of(["instruction", "input", "output"]), form_of(["id", "prompt", "chosen", "rejected"])
    ('alpaca', 'preferences')
    """
    asked, answered = first(columns, PROMPTS), first(columns, ANSWERS)
    spoken = first(columns, CONVERSATIONS)
    if "chosen" in columns or "rejected" in columns:
        return "preferences" if {"chosen", "rejected"} <= set(columns) else None
    if KTO_TAG in columns and (spoken is not None or (asked is not None and answered is not None)):
        return "labelled"
    if spoken is not None:
        return "chat" if spoken == "messages" else "sharegpt"
    if asked is not None and answered is not None and "label" in columns:
        return "labelled"
    if "instruction" in columns and ("output" in columns or (asked == "instruction" and answered is not None)):
        return "alpaca"
    if asked is not None:
        return "prompt_completion" if answered is not None else "prompts"
    # A `role` beside a text is that of one turn, as in OpenAssistant's trees of messages.
    return "text" if "text" in columns and "role" not in columns else None


def has_form(columns: Collection[str], form: Form) -> bool:
    """Whether a row with these columns, none of them null, has all that the form needs."""
    return all(first(columns, names) is not None for names in _NEEDED[form])


def missing(filled: Collection[str], form: Form, columns: Collection[str]) -> str:
    """What the form needs of the columns that are there and is not among those that are filled, in words."""
    lacking = [names for names in _NEEDED[form] if first(filled, names) is None]
    return " and ".join(" or ".join(f"`{name}`" for name in names if name in columns) for names in lacking)


def first(columns: Collection[str], names: Sequence[str]) -> str | None:
    """The first of the names that is a column."""
    return next((name for name in names if name in columns), None)


def value_of(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of the names that is a column; None without one."""
    name = first(row, names)
    return None if name is None else row[name]


def used(columns: Collection[str], form: Form) -> set[str]:
    """The columns that are read of such a row."""
    return {name for group in (*_groups(columns, form), *([n] for n in _KEPT)) if (name := first(columns, group))}


def _optional(columns: Collection[str], form: Form) -> tuple[str, ...]:
    """What such a row may have beside what it needs; with an `instruction` its `input` and `history`."""
    instructed = form not in ("chat", "sharegpt", "text") and first(columns, PROMPTS) == "instruction"
    return (*_OPTIONAL[form], *(_BESIDE_INSTRUCTION if instructed else ()))


def misspelt(columns: Collection[str], forms: Collection[Form]) -> tuple[str, str] | None:
    """A column that no form knows and that is nearly named as one that these forms lack, and that name; or None."""
    names = {
        name for form in forms for group in _groups(columns, form) if first(columns, group) is None for name in group
    }
    for column in columns:
        known = [name for name in sorted(names) if abs(len(name) - len(column)) <= 2]
        if column not in KNOWN and (near := difflib.get_close_matches(column.lower(), known, n=1, cutoff=0.8)):
            return column, near[0]
    return None


def _groups(columns: Collection[str], form: Form) -> list[Sequence[str]]:
    """The names that a form knows, those together of which one is enough."""
    several, known = (CONVERSATIONS, PROMPTS, ANSWERS, INPUTS, SYSTEM, TOOLS), set(_optional(columns, form))
    single = known - {name for group in several for name in group}
    optional = [group for group in several if set(group) <= known]
    return [*_NEEDED[form], *optional, *([name] for name in sorted(single))]
