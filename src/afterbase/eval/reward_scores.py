"""A scalar reward model on a user's own file: a score for each answer, and of pairs how often it ranks them right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.intervals import exact_interval
from afterbase.core.tokens import tokenize
from afterbase.data.own.own_rows import Dropped, OwnRows, read_own
from afterbase.data.own.row_forms import Form
from afterbase.data.own.row_turns import Labelled, Preference, Turn, answered, labelled, preference
from afterbase.model.families import context_length
from afterbase.reward.scalar import RewardModel

FORMS: tuple[Form, ...] = ("preferences", "labelled", "prompt_completion", "alpaca", "chat", "sharegpt")
_SHORTEST = 64  # tokens, of the first bucket of lengths; each next one is twice as wide


@dataclass(frozen=True)
class Scored:
    """Each row that was scored, `pairs` on them where they are pairs, and the rows that were left out with the reason.

    A row is {row, score, tokens}, or {row, chosen, rejected, margin, tokens}, tokens of the longer side.
    """

    rows: list[dict[str, Any]]
    pairs: dict[str, Any] | None
    dropped: list[Dropped]


def score_file(rm: RewardModel, file: Path, *, note: Callable[[int, int], None] = lambda done, of: None) -> Scored:
    """Scores of a file of preference pairs, or of prompts with an answer, in any form of docs/data.md.

    `note` hears how many rows are done. Raises UserError for a file that cannot be read, and where no row is left.
    """
    reading = read_own(OwnRows(files=(str(file),)), FORMS, _sides, seed=0)
    dropped, rows = list(reading.dropped), []
    for number, kept in enumerate(reading.kept):
        try:
            tokens = _lengths(rm, kept.said)
        except UserError as error:
            dropped.append(Dropped(kept.place, f"{error.rule}: {error.got}"))
            continue
        scores = rm.score(kept.said)
        if not all(map(isfinite, scores)):
            raise UserError(
                "scores are finite numbers", got=f"{scores} for {kept.place}", remedy="use another reward model"
            )
        rows.append({"row": kept.place, **_named(scores), "tokens": max(tokens), "lengths": tokens})
        note(number + 1, len(reading.kept))
    if not rows:
        raise UserError(
            "a file to score has a row that the model can read",
            got=f"none in {file}; the first, {dropped[0].row}: {dropped[0].rule}",
            remedy="correct the rows, or name another model",
        )
    pairs = [row for row in rows if "margin" in row]
    summary = summarise_pairs(pairs) if pairs else None
    for row in rows:
        del row["lengths"]
    return Scored(rows, summary, dropped)


def summarise_pairs(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy with its exact interval, mean margin and ties: of all pairs, by length, and by which side is longer.

    A tie is no right answer.
    """
    lengths: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["tokens"]):
        lengths.setdefault(_bucket(row["tokens"]), []).append(row)
    sides: dict[str, list[Mapping[str, Any]]] = {"longer": [], "shorter": [], "equal": []}
    for row in rows:
        chosen, rejected = row["lengths"]
        sides["longer" if chosen > rejected else "shorter" if chosen < rejected else "equal"].append(row)
    return {
        **_ranking(rows),
        "by_tokens": {name: _ranking(some) for name, some in lengths.items()},
        "by_chosen": {name: _ranking(some) for name, some in sides.items() if some},
    }


def _ranking(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    right = sum(row["margin"] > 0 for row in rows)
    interval = exact_interval(right, len(rows))
    return {
        "pairs": len(rows),
        "accuracy": right / len(rows),
        "low": interval.low,
        "high": interval.high,
        "mean_margin": fmean(row["margin"] for row in rows),
        "ties": sum(row["margin"] == 0 for row in rows),
    }


def _bucket(tokens: int) -> str:
    most = _SHORTEST
    while tokens > most:
        most *= 2
    return f"{most // 2 + 1 if most > _SHORTEST else 1}-{most}"


def _sides(row: Mapping[str, Any], form: Form, texts: bool) -> list[list[Turn]]:
    """One conversation, or that of the chosen and that of the rejected answer."""
    if form == "preferences":
        found: Preference = preference(row)
        return [[*found.prompt, {"role": "assistant", "content": text}] for text in (found.chosen, found.rejected)]
    if form == "labelled":
        judged: Labelled = labelled(row, texts=texts)
        return [[*judged.prompt, {"role": "assistant", "content": judged.response}]]
    turns = answered(row, form, "last").messages
    if turns[-1]["role"] != "assistant":
        raise ValueError("the conversation does not end in an answer")
    return [turns]


def _lengths(rm: RewardModel, sides: Sequence[Sequence[Turn]]) -> list[int]:
    """Tokens of each side. UserError for what the chat template refuses, or the context does not hold."""
    lengths = [len(tokenize(rm.lm.tokenizer, turns).ids) for turns in sides]
    longest = context_length(rm.lm.model.config)
    if max(lengths) > longest:
        raise UserError(
            "an answer with its prompt fits in the model's context",
            got=f"{max(lengths)} tokens in {longest}",
            remedy="leave it out",
        )
    return lengths


def _named(scores: Sequence[float]) -> dict[str, float]:
    if len(scores) == 1:
        return {"score": scores[0]}
    chosen, rejected = scores
    return {"chosen": chosen, "rejected": rejected, "margin": chosen - rejected}
