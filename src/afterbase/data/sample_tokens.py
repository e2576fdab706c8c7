"""A sample's token ids and loss masks: a conversation by the chat template, a plain text as it stands."""

from collections.abc import Mapping, Sequence
from typing import Any

from afterbase.core.sample import Sample
from afterbase.core.tokens import Tokenized, training_rows


def sample_rows(tokenizer: Any, sample: Sample) -> list[Tokenized]:
    """The rows that a sample is trained in: one, or as many as its template needs.

    Raises UserError where the chat template refuses or changes a turn.
    """
    if sample.text is not None:
        return [text_row(tokenizer, sample.text)]
    return training_rows(tokenizer, sample.turns(), untrained=sample.untrained, tools=sample.tools)


def answer_row(tokenizer: Any, turns: Sequence[Mapping[str, Any]], text: str) -> Tokenized:
    """An answer behind the turns before it, of which none is trained.

    Raises UserError as `sample_rows` does.
    """
    (row,) = training_rows(tokenizer, [*turns, {"role": "assistant", "content": text}], untrained=range(len(turns)))
    return row


def text_row(tokenizer: Any, text: str) -> Tokenized:
    """A text without a chat form: every token bears loss but the first, and the text ends in the end token.

    Spellings of special tokens are those tokens: a text that somebody put into a chat form has them.
    """
    ids = list(tokenizer(text, verbose=False)["input_ids"])
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if begin is not None and ids[:2] == [begin, begin]:  # the text has the mark that the tokenizer puts before it
        ids = ids[1:]
    if end is not None and ids[-1:] != [end]:
        ids.append(end)
    return Tokenized(ids, [place > 0 for place in range(len(ids))])
