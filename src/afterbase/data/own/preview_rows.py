"""What training would see of a user's rows: token ids and loss masks of the first of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.tokens import Tokenized, prompt_ids
from afterbase.data.formats.conversations import Conversation
from afterbase.data.own.own_rows import Dropped, Kept, OwnRows, Reading, read_own
from afterbase.data.own.own_sets import sample
from afterbase.data.own.row_forms import FORMS, Form
from afterbase.data.own.row_turns import (
    Labelled,
    Preference,
    Turn,
    answered,
    labelled,
    plain_text,
    preference,
    prompt_alone,
)
from afterbase.data.sample_tokens import answer_row, sample_rows

MOST = 20  # examples
Said = Conversation | str | Preference | Labelled | list[Turn]


@dataclass(frozen=True)
class Preview:
    """What was read, and the first examples as they would be trained; `refused` are rows that the template refuses."""

    reading: Reading[Said]
    examples: list[dict[str, Any]]
    refused: list[Dropped]

    def as_dict(self) -> dict[str, Any]:
        """The form, how many rows were read, those left out, and the examples, as plain JSON."""
        return {
            "form": self.reading.form,
            "rows": self.reading.rows,
            "dropped": [row._asdict() for row in (*self.reading.dropped, *self.refused)],
            "examples": self.examples,
        }


def preview(rows: OwnRows, tokenizer: Any) -> Preview:
    """The first examples of rows of any form, tokenised exactly as they are trained.

    All rows are read; the chat template is applied until there are enough examples. Raises UserError as `read_own`
    does, and where the template refuses all rows.
    """

    def parse(row: Mapping[str, Any], form: Form, texts: bool) -> Said:
        match form:
            case "text":
                return plain_text(row)
            case "preferences":
                return preference(row)
            case "labelled":
                return labelled(row, texts=texts)
            case "prompts":
                return prompt_alone(row, form)
        return answered(row, form, rows.trained)

    reading: Reading[Said] = read_own(rows, FORMS, parse, seed=0)
    examples: list[dict[str, Any]] = []
    refused: list[Dropped] = []
    first: UserError | None = None
    for kept in reading.kept:
        try:
            examples += _examples(kept, tokenizer)
        except UserError as error:
            first = first or error
            refused.append(Dropped(kept.place, f"{error.rule}: {error.got}"))
        if len(examples) >= MOST:
            break
    if first is not None and not examples:
        raise UserError(first.rule, got=f"{first.got}, in {refused[0].row}", remedy=first.remedy)
    return Preview(reading, examples[:MOST], refused)


def _examples(kept: Kept[Said], tokenizer: Any) -> Iterator[dict[str, Any]]:
    said = kept.said
    match said:
        case Preference():
            chosen, rejected = (answer_row(tokenizer, said.prompt, text) for text in (said.chosen, said.rejected))
            yield {**_shown(tokenizer, chosen), "rejected": _shown(tokenizer, rejected)}
        case Labelled():
            yield {**_shown(tokenizer, answer_row(tokenizer, said.prompt, said.response)), "label": said.label}
        case Conversation() | str():
            for row in sample_rows(tokenizer, sample("own", Kept(kept.place, kept.form, kept.row, said))):
                yield _shown(tokenizer, row)
        case _:
            ids = prompt_ids(tokenizer, said)
            yield _shown(tokenizer, Tokenized(ids, [False] * len(ids)))


def _shown(tokenizer: Any, row: Tokenized) -> dict[str, Any]:
    return {"ids": row.ids, "trained": row.trained, "text": tokenizer.decode(row.ids)}
