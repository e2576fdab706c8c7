"""The files behind a RewardBench score, read and checked: votes by pair, accuracies by subset, rewards by question."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, FiniteFloat, model_validator

from afterbase.core.errors import UserError
from afterbase.core.rows import read_rows, refuse_repeats
from afterbase.eval.judged.reward_bench.reward_bench_2 import SUBSETS, Question
from afterbase.eval.judged.reward_bench.score import PRIOR_SETS, SECTIONS, SIZES, Vote, accuracy


class VoteRow(BaseModel):
    judgement: str | None
    chosen_shown_as: Literal["A", "B"]


class Pair(BaseModel):
    """The votes on one pair of a subset, in the order they were cast."""

    subset: str
    id: int | str
    votes: list[VoteRow]


class Case(BaseModel):
    """Accuracies in [0, 1] by subset."""

    metrics: dict[str, float] = Field(min_length=1)


class Rewarded(BaseModel):
    """The rewards of one question's answers, the right ones first."""

    subset: Literal["Factuality", "Precise IF", "Math", "Safety", "Focus", "Ties"]
    id: int | str
    scores: list[FiniteFloat]
    num_correct: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _both_kinds(self) -> "Rewarded":
        if self.num_correct >= len(self.scores):
            raise ValueError(f"{len(self.scores)} scores of which {self.num_correct} are right leave no wrong one")
        return self


def read_rewards(path: Path) -> tuple[dict[str, list[Question]], list[str]]:
    """The questions of RewardBench 2 by subset, and notes on what is missing. UserError for a question twice."""
    rows = read_rows(path, Rewarded)
    refuse_repeats(((row.subset, str(row.id)) for row in rows), path)
    subsets: dict[str, list[Question]] = defaultdict(list)
    for row in rows:
        right, wrong = row.scores[: row.num_correct], row.scores[row.num_correct :]
        subsets[row.subset].append(Question(id=str(row.id), right=right, wrong=wrong))
    absent = [name for name in SUBSETS if name not in subsets]
    return (
        {name: subsets[name] for name in SUBSETS if name in subsets},
        [f"the average is without {', '.join(absent)}"] if absent else [],
    )


def read_accuracies(path: Path, k: int | None) -> tuple[dict[str, float], list[str]]:
    """Each subset's accuracy by the first k votes of every pair, all of them by default, and notes on what is missing.

    UserError for a pair judged twice, of an unknown subset, or with too few votes.
    """
    pairs = read_rows(path, Pair)
    if k is None:
        k = len(pairs[0].votes)
        if any(len(pair.votes) != k for pair in pairs):
            raise UserError("pairs have as many votes as each other", got=f"others in {path}", remedy="add --k")
    if k < 1:
        raise UserError("a pair is decided by one vote or more", got=f"k = {k}", remedy="name another")
    right: dict[str, list[float]] = defaultdict(list)
    refuse_repeats(((pair.subset, pair.id) for pair in pairs), path)
    for pair in pairs:
        if len(pair.votes) < k:
            got = f"{len(pair.votes)} on {pair.id} of {pair.subset} in {path}"
            raise UserError(f"each pair has {k} votes", got=got, remedy="lower --k")
        votes = [Vote(judgement=vote.judgement, chosen_shown_as=vote.chosen_shown_as) for vote in pair.votes[:k]]
        right[pair.subset].append(accuracy(votes))
    _known(right, path)
    ordered = [subset for subset in (*SIZES, *PRIOR_SETS) if subset in right]
    sizes = {subset: SIZES.get(subset, len(right[subset])) for subset in ordered}  # prior sets come in several sizes
    short = [f"{s}: {len(right[s])} of {size} pairs" for s, size in sizes.items() if len(right[s]) != size]
    return {subset: sum(right[subset]) / len(right[subset]) for subset in ordered}, short + _missing(right)


def read_metrics(path: Path) -> list[tuple[dict[str, float], list[str]]]:
    """The accuracies of each case of a JSON list, and notes on what is missing. UserError for unknown subsets."""
    out = []
    for number, case in enumerate(read_rows(path, Case), start=1):
        _known(case.metrics, path)
        if not all(0 <= value <= 1 for value in case.metrics.values()):
            raise UserError(
                "an accuracy lies in [0, 1]", got=f"others in case {number} of {path}", remedy="divide them"
            )
        out.append((case.metrics, [f"case {number}: {note}" for note in _missing(case.metrics)]))
    return out


def _known(subsets: Mapping[str, object], path: Path) -> None:
    known = (*SIZES, *PRIOR_SETS)
    unknown = sorted(subsets.keys() - set(known))
    if unknown:
        raise UserError(
            "the subsets are RewardBench's", got=f"{', '.join(unknown)} in {path}", remedy=f"use {', '.join(known)}"
        )


def _missing(subsets: Collection[str]) -> list[str]:
    notes = []
    for section, weights in SECTIONS.items():
        absent = [subset for subset in weights if subset not in subsets]
        if absent:
            fault = "has no subset and counts 0" if len(absent) == len(weights) else f"is without {', '.join(absent)}"
            notes.append(f"{section} {fault}")
    return notes
