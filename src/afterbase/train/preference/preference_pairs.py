"""Preferences as every training on them sees them: tokenised, split by prompt, in seeded batches.

A pair is a better and a worse answer to a prompt, a labelled answer a single one that is good or bad.

And what a policy makes of them: the log-probability of a whole answer, and, once for all epochs and resumes, that of
every answer under the reference.
"""

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from afterbase.core.errors import UserError
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.core.tokens import Tokenized
from afterbase.data.sample_tokens import answer_row
from afterbase.model.attention import Segments
from afterbase.model.families import attention_chunk, context_length
from afterbase.model.load import LanguageModel, load
from afterbase.model.probe import refuse_other_lengths
from afterbase.reward.shown_pairs import answers_alone
from afterbase.train.device import Device, training_device
from afterbase.train.logprobs import token_logps
from afterbase.train.optimizer import gather_trained

VERSION = 8
TOO_LONG, UNANSWERED = "too long", "a thought that never ends in an answer"

T = TypeVar("T")


class Example(Protocol):
    """A prompt with its answers: `row` is its place in the artifact, `others` answer another prompt."""

    @property
    def row(self) -> int: ...
    @property
    def prompt(self) -> str: ...
    @property
    def answers(self) -> list[Tokenized]: ...
    @property
    def desirable(self) -> list[bool]: ...
    @property
    def others(self) -> tuple[Tokenized, ...]: ...


E = TypeVar("E", bound=Example)


@dataclass(frozen=True)
class Pair:
    """One prompt with a better and a worse answer; `row` is its place in the artifact.

    `others`: the two answers of the next pair that has another prompt, put to this prompt; empty if none fits.
    `margin`: by how much the chosen answer is better, for the reward model; 0 where the pairs do not say.
    """

    row: int
    prompt: str
    chosen: Tokenized
    rejected: Tokenized
    others: tuple[Tokenized, ...]
    margin: float = 0.0

    @property
    def answers(self) -> list[Tokenized]:
        return [self.chosen, self.rejected]

    @property
    def desirable(self) -> list[bool]:
        return [True, False]


@dataclass(frozen=True)
class Labelled:
    """One prompt with one answer, which is good or bad; `row` and `others` as of a pair."""

    row: int
    prompt: str
    answer: Tokenized
    label: bool
    others: tuple[Tokenized, ...]

    @property
    def answers(self) -> list[Tokenized]:
        return [self.answer]

    @property
    def desirable(self) -> list[bool]:
        return [self.label]


@dataclass(frozen=True)
class Examples(Generic[E]):
    """What was read of an artifact, in its order, and what was left out: each row's place and the reason."""

    kept: list[E]
    dropped: list[dict[str, str]]

    def report(self) -> dict[str, Any]:
        """The rows that were left out, and how many there are for each reason."""
        counts = Counter(drop["reason"] for drop in self.dropped)
        return {"too_long": counts[TOO_LONG], "unanswered": counts[UNANSWERED], "dropped": self.dropped}


def read_pairs(
    lm: LanguageModel, preferences: Artifact, *, thoughts: bool = True, others: bool = True
) -> Examples[Pair]:
    """The pairs of an artifact, but those with an answer that is too long or that the chat template refuses, or equal.

    Without `thoughts` they are what a reward model sees (`answers_alone`); without `others` no pair has any. Raises
    UserError for a margin that is no number, and where no pair is left.
    """
    rows = pq.read_table(preferences.payload / "pairs.parquet").to_pylist()
    for index, row in enumerate(rows):
        if not math.isfinite(row.get("margin") or 0.0):
            raise UserError(
                "a pair's margin is a finite number",
                got=f"{row['margin']} in row {row.get('row') or index}",
                remedy="correct the row",
            )
    shown = rows if thoughts else [answers_alone(row) for row in rows]
    reader = _Reader(lm, shown, ("chosen", "rejected"), others=others)
    kept, dropped = [], []
    for index, row in enumerate(rows):
        found = reader.read(index)
        if isinstance(found, str):
            dropped.append({"row": str(row.get("row") or index), "reason": found})
            continue
        (chosen, rejected), neighbours = found
        if chosen.ids == rejected.ids:
            dropped.append({"row": str(row.get("row") or index), "reason": "both answers are equal"})
        else:
            kept.append(Pair(index, row["prompt"], chosen, rejected, neighbours, row.get("margin") or 0.0))
    return _checked(lm, Examples(kept, dropped))


def read_labelled(lm: LanguageModel, answers: Artifact) -> Examples[Labelled]:
    """The rows of answers.parquet, but those that are too long or that the chat template refuses.

    Raises UserError where no row is left.
    """
    rows = pq.read_table(answers.payload / "answers.parquet").to_pylist()
    reader = _Reader(lm, rows, ("response",), others=True)
    kept, dropped = [], []
    for index, row in enumerate(rows):
        found = reader.read(index)
        if isinstance(found, str):
            dropped.append({"row": str(row.get("row") or index), "reason": found})
        else:
            kept.append(Labelled(index, row["prompt"], found[0][0], row["label"], found[1]))
    return _checked(lm, Examples(kept, dropped))


def read_examples(lm: LanguageModel, preferences: Artifact, *, others: bool = True) -> Examples[Any]:
    """Pairs, or labelled answers where the artifact holds those."""
    if (preferences.payload / "answers.parquet").is_file():
        return read_labelled(lm, preferences)
    return read_pairs(lm, preferences, others=others)


class _Reader:
    """Rows of an artifact to token ids; None stands for a row without an answer to show."""

    def __init__(
        self, lm: LanguageModel, rows: Sequence[dict[str, Any] | None], columns: tuple[str, ...], *, others: bool
    ) -> None:
        self._tokenizer, self._rows, self._columns, self._others = lm.tokenizer, rows, columns, others
        self._longest = min(context_length(lm.model.config), attention_chunk(lm.model.config))

    def read(self, index: int) -> tuple[tuple[Tokenized, ...], tuple[Tokenized, ...]] | str:
        """A row's answers, and those of the next row with another prompt that fit this one; or why it is left out."""
        row = self._rows[index]
        if row is None:
            return UNANSWERED
        own = self._answers(row, row)
        if isinstance(own, str) or not self._others:
            return own if isinstance(own, str) else (own, ())
        # Another prompt's answers, those of the next row that fit: its own length drops no other row.
        following = (self._rows[(index + ahead) % len(self._rows)] for ahead in range(1, len(self._rows)))
        found = (self._answers(row, other) for other in following if other and other["prompt"] != row["prompt"])
        return own, next((answers for answers in found if not isinstance(answers, str)), ())

    def _answers(self, row: dict[str, Any], other: dict[str, Any]) -> tuple[Tokenized, ...] | str:
        """The answers of `other` to the prompt of `row`, or why there are none."""
        turns = json.loads(row["messages"]) if row.get("messages") else [{"role": "user", "content": row["prompt"]}]
        try:
            found = tuple(answer_row(self._tokenizer, turns, other[column]) for column in self._columns)
        except UserError as error:
            return f"{error.rule}: {error.got}"
        return found if max(len(answer.ids) for answer in found) <= self._longest else TOO_LONG


def _checked(lm: LanguageModel, examples: Examples[E]) -> Examples[E]:
    """The examples after a look at whether the model reads their lengths; UserError where there are none."""
    if not examples.kept and examples.dropped:
        first = examples.dropped[0]
        raise UserError(
            "learning from preferences needs rows that can be trained on",
            got=f"{len(examples.dropped)} rows that were all left out, the first ({first['row']}) because: "
            f"{first['reason']}",
            remedy="correct the rows, or use a model with a longer context or another chat template",
        )
    lengths = [len(answer.ids) for example in examples.kept for answer in (*example.answers, *example.others)]
    if lengths:
        refuse_other_lengths(lm, max(lengths), min(lengths))
    return examples


def split_pairs(pairs: Sequence[E], *, held_out: float, seed: int) -> tuple[list[E], list[E]]:
    """Training and held-out pairs: a share of the prompts with all their pairs, so that no prompt is in both.

    Raises UserError where either would be empty.
    """
    prompts = sorted({pair.prompt for pair in pairs})
    random.Random(seed).shuffle(prompts)
    reserved = set(prompts[: max(1, round(held_out * len(prompts)))])
    training = [pair for pair in pairs if pair.prompt not in reserved]
    examined = [pair for pair in pairs if pair.prompt in reserved]
    if not training or not examined:
        raise UserError(
            "learning from preferences needs pairs to train on and pairs of other prompts to be examined on",
            got=f"{len(pairs)} pairs over {len(prompts)} prompts",
            remedy="add pairs of other prompts, such as your own in `preferences.path`, or give a file of held-out "
            "pairs; where answers are sampled, raise `preferences.temperature`, `preferences.samples` or the domain's "
            "`train`",
        )
    return training, examined


def batches(items: Sequence[T], size: int, *, epochs: int, seed: int) -> list[list[T]]:
    """The batches of all epochs, each epoch in an order of its own."""
    out = []
    for epoch in range(epochs):
        order = list(items)
        random.Random(f"{seed}/{epoch}").shuffle(order)
        out += [order[i : i + size] for i in range(0, len(order), size)]
    return out


def in_rows(pairs: Sequence[E], row_tokens: int) -> Iterator[list[E]]:
    """The pairs in order, in rows whose answers have at most `row_tokens` tokens, or in a row of its own if longer."""
    row: list[E] = []
    tokens = 0
    for pair in pairs:
        size = sum(len(answer.ids) for answer in pair.answers)
        if row and tokens + size > row_tokens:
            yield row
            row, tokens = [], 0
        row.append(pair)
        tokens += size
    if row:
        yield row


def count_tokens(pairs: Sequence[Example]) -> int:
    """Tokens of all answers, with their prompts."""
    return sum(len(answer.ids) for pair in pairs for answer in pair.answers)


def describe(pairs: Sequence[Example]) -> list[dict[str, object]]:
    """What is written down of pairs whose gradients were not finite."""
    return [{"row": pair.row, "prompt": pair.prompt, "ids": [a.ids for a in pair.answers]} for pair in pairs]


def answer_logps(lm: LanguageModel, answers: Sequence[Tokenized], *, with_prompts: bool = False) -> Tensor:
    """Log-probability (n,) of each answer's trained tokens, summed; all answers are read in one packed row.

    `with_prompts`: (n, 2), of those tokens and of all but the first.
    """
    segments = Segments.of([len(answer.ids) for answer in answers], lm.device)
    ids = torch.tensor([token for answer in answers for token in answer.ids], device=lm.device)
    trained = torch.tensor([bears for answer in answers for bears in answer.trained], device=lm.device)
    read = segments.position_ids > 0 if with_prompts else trained
    states, targets = gather_trained(lm.hidden(ids, segments), ids, read)
    logps = token_logps(states, lm.head, targets)
    places = segments.sample_ids[read]
    if not with_prompts:
        return logps.new_zeros(len(answers)).index_add(0, places, logps)
    both = torch.stack((logps.where(trained[read], 0.0), logps), dim=1)
    return logps.new_zeros(len(answers), 2).index_add(0, places, both)


def make_reference_logps(
    store: Store, model: Artifact, preferences: Artifact, *, others: bool = True, device: Device = "auto"
) -> Artifact:
    """logps.parquet: for every row the log-probabilities under `model` of its answers, then of its `others`.

    Two places for each: of a labelled answer the second is empty. Without `others`, which DPO has no use for, theirs
    stay empty.

    >>> reference = make_reference_logps(store, sft, pairs)
    >>> (reference.payload / "logps.parquet").exists()
    True
    """

    def make(work: Workspace) -> None:
        lm = load(model.payload)
        lm.modules().to(training_device(device))
        examples = read_examples(lm, preferences, others=others)
        rows = [[math.nan] * 4] * (len(examples.kept) + len(examples.dropped))
        with torch.inference_mode():
            for done, example in enumerate(examples.kept, start=1):
                known = answer_logps(lm, [*example.answers, *example.others]).tolist()
                first = len(example.answers)
                rows[example.row] = _two(known[:first]) + _two(known[first:])
                work.show(done, len(examples.kept))
        pq.write_table(pa.table({"logps": rows}), work.payload / "logps.parquet")

    what: dict[str, Any] = {} if others else {"others": False}
    inputs = {"model": model, "preferences": preferences}
    return store.produce("reference log-probabilities", "reference_logps", VERSION, what=what, inputs=inputs, make=make)


def _two(known: list[float]) -> list[float]:
    return known + [math.nan] * (2 - len(known))


def read_reference_logps(reference: Artifact) -> Tensor:
    """(rows, 4): the answers', and those of another prompt; nan where there is none."""
    return torch.tensor(pq.read_table(reference.payload / "logps.parquet")["logps"].to_pylist())
