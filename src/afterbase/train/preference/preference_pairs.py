"""Preference pairs as every training on them sees them: tokenised, split by prompt, in seeded batches.

And what a policy makes of them: the log-probability of a whole answer, and, once for all epochs and resumes, that of
every answer under the reference.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from afterbase.core.errors import UserError
from afterbase.core.sample import conversation
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.core.tokens import Tokenized, tokenize
from afterbase.model.attention import Segments
from afterbase.model.families import attention_window, context_length
from afterbase.model.load import LanguageModel, load
from afterbase.model.probe import refuse_other_lengths
from afterbase.reward.shown_pairs import answers_alone
from afterbase.train.logprobs import token_logps
from afterbase.train.optimizer import gather_trained

VERSION = 6

T = TypeVar("T")


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


def read_pairs(lm: LanguageModel, preferences: Artifact, *, thoughts: bool = True) -> list[Pair]:
    """All pairs of an artifact, in its order, but those with an answer longer than the model's context or window.

    Without `thoughts` they are what a reward model sees (`answers_alone`), and those without an answer are left out.
    Raises UserError for a margin that is no number, and for an answer that the chat template refuses.
    """
    rows = pq.read_table(preferences.payload / "pairs.parquet").to_pylist()
    if not thoughts:
        rows = [answers_alone(row) for row in rows]
    longest = min(context_length(lm.model.config), attention_window(lm.model.config))

    def answers(prompt: str, row: dict[str, str]) -> tuple[Tokenized, ...]:
        """Those of a row, put to a prompt; none where one is too long."""
        found = tuple(tokenize(lm.tokenizer, conversation(prompt, row[side])) for side in ("chosen", "rejected"))
        return found if max(len(answer.ids) for answer in found) <= longest else ()

    pairs = []
    for index, row in enumerate(rows):
        if row is None:
            continue
        margin = row.get("margin") or 0.0
        if not math.isfinite(margin):
            raise UserError(
                "a pair's margin is a finite number",
                got=f"{margin} in row {index}",
                remedy="correct the row",
            )
        if own := answers(row["prompt"], row):
            # Another prompt's answers, those of the next pair that fit: its own length drops no other pair.
            following = (rows[(index + ahead) % len(rows)] for ahead in range(1, len(rows)))
            others = (answers(row["prompt"], r) for r in following if r and r["prompt"] != row["prompt"])
            chosen, rejected = own
            neighbours = next((found for found in others if found), ())
            pairs.append(Pair(index, row["prompt"], chosen, rejected, neighbours, margin))
    lengths = [len(answer.ids) for pair in pairs for answer in (*pair.answers, *pair.others)]
    if lengths:
        refuse_other_lengths(lm, max(lengths), min(lengths))
    return pairs


def count_left_out(preferences: Artifact, pairs: Sequence[Pair]) -> int:
    """How many pairs of an artifact `read_pairs` left out."""
    return pq.read_metadata(preferences.payload / "pairs.parquet").num_rows - len(pairs)


def split_pairs(pairs: Sequence[Pair], *, held_out: float, seed: int) -> tuple[list[Pair], list[Pair]]:
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
            remedy="sample more answers for the preference pairs, or add reviewed samples",
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


def in_rows(pairs: Sequence[Pair], row_tokens: int) -> Iterator[list[Pair]]:
    """The pairs in order, in rows whose answers have at most `row_tokens` tokens, or in a row of its own if longer."""
    row: list[Pair] = []
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


def count_tokens(pairs: Sequence[Pair]) -> int:
    """Tokens of both answers of all pairs, with their prompts."""
    return sum(len(answer.ids) for pair in pairs for answer in pair.answers)


def describe(pairs: Sequence[Pair]) -> list[dict[str, object]]:
    """What is written down of pairs whose gradients were not finite."""
    return [{"row": pair.row, "prompt": pair.prompt, "ids": [a.ids for a in pair.answers]} for pair in pairs]


def answer_logps(lm: LanguageModel, answers: Sequence[Tokenized]) -> Tensor:
    """Log-probability (n,) of each answer's trained tokens, summed; all answers are read in one packed row."""
    segments = Segments.of([len(answer.ids) for answer in answers], lm.device)
    ids = torch.tensor([token for answer in answers for token in answer.ids], device=lm.device)
    trained = torch.tensor([bears for answer in answers for bears in answer.trained], device=lm.device)
    states, targets = gather_trained(lm.hidden(ids, segments), ids, trained)
    logps = token_logps(states, lm.head, targets)
    return logps.new_zeros(len(answers)).index_add(0, segments.sample_ids[trained], logps)


def make_reference_logps(store: Store, model: Artifact, preferences: Artifact) -> Artifact:
    """logps.parquet: for every pair the log-probabilities of `chosen`, `rejected` and both `others` under `model`.

    >>> reference = make_reference_logps(store, sft, pairs)
    >>> (reference.payload / "logps.parquet").exists()
    True
    """

    def make(work: Workspace) -> None:
        lm = load(model.payload)
        pairs = read_pairs(lm, preferences)
        rows = [[math.nan] * 4] * (len(pairs) + count_left_out(preferences, pairs))
        with torch.inference_mode():
            for done, pair in enumerate(pairs, start=1):
                known = answer_logps(lm, [*pair.answers, *pair.others]).tolist()
                rows[pair.row] = known + [math.nan] * (4 - len(known))
                work.show(done, len(pairs))
        pq.write_table(pa.table({"logps": rows}), work.payload / "logps.parquet")

    inputs = {"model": model, "preferences": preferences}
    return store.produce("reference log-probabilities", "reference_logps", VERSION, what={}, inputs=inputs, make=make)


def read_reference_logps(reference: Artifact) -> Tensor:
    """(pairs, 4): chosen, rejected, and the two answers of another prompt; nan for a pair that was left out."""
    return torch.tensor(pq.read_table(reference.payload / "logps.parquet")["logps"].to_pylist())
