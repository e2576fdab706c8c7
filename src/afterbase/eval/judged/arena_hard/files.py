"""The files behind an Arena-Hard score, read and checked: battles or judgments, style metadata, cases of verdicts.

Judgments have the layout of lmarena/arena-hard-auto: a JSONL file or a judge's folder of them, a row a model and prompt
with its two games. The prompt is `question_id` in version 0.1 and `uid` in 2.0. A table has one row a battle instead,
as 0.1 counts them: question_id, model, winner (baseline, model or tie).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import AliasChoices, BaseModel, Field

from afterbase.core.errors import UserError
from afterbase.core.rows import read_rows, read_table, refuse_repeats
from afterbase.eval.judged.arena_hard.score import BASELINES, Battles, Version, known_label, outcomes, verdict

_WINNERS = {"baseline": 0.0, "tie": 0.5, "model": 1.0}


class BattleRow(BaseModel):
    """One battle of version 0.1; a clear verdict is three of them."""

    question_id: str
    model: str
    winner: Literal["baseline", "model", "tie"]


class Game(BaseModel):
    score: str | None


class Judgment(BaseModel):
    """A model's two games on one prompt; a game is null where the judge failed, its score where it said neither."""

    question: str = Field(validation_alias=AliasChoices("uid", "question_id"))
    model: str
    games: list[Game | None] = Field(min_length=2, max_length=2)
    category: str | None = None
    baseline: str | None = None
    judge: str | None = None


class Counts(BaseModel):
    """What style is measured by; markdown is counted by kind or in all."""

    token_len: int
    header_count: int | dict[str, int]
    list_count: int | dict[str, int]
    bold_count: int | dict[str, int]

    def numbers(self) -> list[float]:
        """Tokens, headers, list items, bold spans."""
        counts = (self.token_len, self.header_count, self.list_count, self.bold_count)
        return [float(c if isinstance(c, int) else sum(c.values())) for c in counts]


class StyleRow(BaseModel):
    """The counts of one answer, as in a public model_answer file."""

    question: str = Field(validation_alias=AliasChoices("uid", "question_id"))
    model: str = Field(validation_alias=AliasChoices("model", "model_id"))
    metadata: Counts = Field(validation_alias=AliasChoices("metadata", "conv_metadata"))


class VerdictCase(BaseModel):
    """A judge's text and what each version makes of it."""

    judgment: str | None = Field(validation_alias=AliasChoices("judgment_tail", "judgment"))
    v01_rule: str | None = None
    v2_rule: str | None = None


@dataclass
class Read:
    """Battles, and what a reader of their scores should know of the files."""

    battles: Battles
    notes: list[str] = field(default_factory=list)


def read_battles(path: Path, version: Version, category: str | None) -> Read:
    """The battles of a table, a JSONL file or a folder. UserError for what would shift a score: see the module."""
    if ".csv" in path.suffixes:
        if version != "0.1" or category is not None:
            raise UserError(
                "a table of battles is of version 0.1 and has no category", got=f"{path}", remedy="name judgments"
            )
        rows = read_table(path, BattleRow)
        _possible(rows, path)
        kept = [(row.question_id, row.model, [_WINNERS[row.winner]]) for row in rows]
        return _battles(kept, BASELINES["arena-hard-v0.1"], path)
    rows = [row for file in _files(path) for row in read_rows(file, Judgment)]
    rows = _of_category(rows, category, path)
    baseline = _baseline(rows, version, path)
    refuse_repeats(((row.model, row.question) for row in rows), path)
    return _from_judgments(rows, baseline, version, path)


def read_style(path: Path, battles: Battles) -> tuple[np.ndarray, np.ndarray]:
    """(B, 4) and (B, 4): counts of the model's and of the baseline's answer in each battle."""
    counts: dict[tuple[str, str], list[float]] = {}
    for file in _files(path):
        for row in read_rows(file, StyleRow):
            key = (row.model, row.question)
            numbers = row.metadata.numbers()
            if counts.setdefault(key, numbers) != numbers:
                raise UserError("an answer has one style", got=f"two of {key} in {path}", remedy="keep one of them")
            if min(numbers) < 0:
                raise UserError("counts are 0 or more", got=f"{numbers} of {key} in {path}", remedy="correct them")
    pairs = [
        (battles.models[m], battles.questions[q]) for m, q in zip(battles.model_B, battles.question_B, strict=True)
    ]
    needed = {*pairs, *((battles.baseline, question) for _, question in pairs)}
    if missing := sorted(needed - counts.keys()):
        raise UserError(
            "style control needs the metadata of every answer",
            got=f"none of {missing[0]} and {len(missing) - 1} others in {path}",
            remedy="add them, or leave --style out",
        )
    own = np.array([counts[pair] for pair in pairs])
    return own, np.array([counts[battles.baseline, question] for _, question in pairs])


def agreement(path: Path, version: Version) -> dict[str, int]:
    """{n, agree} of a file of judges' texts with the label that a version reads from each (v01_rule, v2_rule)."""
    rule: Literal["v01_rule", "v2_rule"] = "v01_rule" if version == "0.1" else "v2_rule"
    cases = read_rows(path, VerdictCase)
    without = [number for number, case in enumerate(cases, start=1) if rule not in case.model_fields_set]
    if without:
        raise UserError(f"each case has {rule}", got=f"none in case {without[0]} of {path}", remedy="add it, or null")
    return {"n": len(cases), "agree": sum(verdict(c.judgment or "", version) == getattr(c, rule) for c in cases)}


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for pattern in ("*.jsonl", "*.jsonl.gz") for file in path.glob(pattern))
    if not files:
        inside = ", ".join(sorted(child.name for child in path.iterdir())) or "nothing"
        raise UserError("a folder holds JSONL files", got=f"{inside} in {path}", remedy="name the folder of one judge")
    return files


def _of_category(rows: list[Judgment], category: str | None, path: Path) -> list[Judgment]:
    found = sorted({row.category or "none" for row in rows})
    if category is None:
        if len(found) > 1:
            raise UserError("one category is scored at a time", got=f"{found} in {path}", remedy="add --category")
        return rows
    if category not in found:
        raise UserError("--category is one of the file's", got=f"{category}; {path} has {found}", remedy="name another")
    return [row for row in rows if row.category == category]


def _baseline(rows: list[Judgment], version: Version, path: Path) -> str:
    default = BASELINES["arena-hard-v0.1"] if version == "0.1" else None
    found = {row.baseline or BASELINES.get(row.category or "", default) for row in rows}
    judges = {row.judge for row in rows}
    if None in found or len(found) != 1:
        raise UserError(
            "the models of a category meet one baseline, which a row names or its category implies",
            got=f"{sorted(str(name) for name in found)} in {path}",
            remedy=f"add `baseline` to the rows, or a category of {', '.join(BASELINES)}",
        )
    if len(judges) > 1:
        raise UserError("a score is one judge's", got=f"{sorted(map(str, judges))} in {path}", remedy="a file for each")
    return str(found.pop())


def _from_judgments(rows: list[Judgment], baseline: str, version: Version, path: Path) -> Read:
    kept, lost, notes = [], Counter[str](), []
    if version == "2.0" and any(row.model == row.judge for row in rows):  # as the reference does
        notes.append(f"{rows[0].judge}: left out, it is the judge")
        rows = [row for row in rows if row.model != row.judge]
    for row in rows:
        labels = [game and game.score for game in row.games]
        unknown = [label for label in labels if label is not None and not known_label(label, version)]
        if unknown and version == "2.0" and None not in labels:
            raise UserError(
                "version 2.0 knows what every label is worth",
                got=f"{unknown[0]} of {row.model} on {row.question} in {path}",
                remedy="set the score to null, which leaves the row out, or judge again",
            )
        if None in row.games:
            labels, unknown = [None, None], []
        lost[row.model] += len(unknown) + sum(label is None for label in labels)
        kept.append((row.question, row.model, outcomes(labels, version)))
    read = _battles(kept, baseline, path)
    notes += [f"{model}: {count} games without a verdict" for model, count in lost.items() if count]
    return Read(read.battles, notes + read.notes)


def _battles(rows: list[tuple[str, str, list[float]]], baseline: str, path: Path) -> Read:
    own = [row for row in rows if row[1] != baseline]
    notes = [f"{baseline}: its rows are left out, it is the baseline"] if len(own) < len(rows) else []
    models = list(dict.fromkeys(model for _, model, _ in own))
    questions = list(dict.fromkeys(question for question, _, _ in own))
    place_m, place_q = ({name: i for i, name in enumerate(names)} for names in (models, questions))
    flat = [(place_m[model], place_q[question], share) for question, model, shares in own for share in shares]
    answered: dict[int, set[int]] = defaultdict(set)
    for m, q, _ in flat:
        answered[m].add(q)
    silent = [name for m, name in enumerate(models) if m not in answered]
    if silent or not models:
        raise UserError(
            "a model is scored by its battles", got=f"none of {', '.join(silent) or 'any'} in {path}", remedy="judge it"
        )
    for m, name in enumerate(models):
        if len(answered[m]) < len(questions):
            notes.append(f"{name}: {len(answered[m])} of {len(questions)} questions have a verdict")
    model, question, outcome = (np.array(column) for column in zip(*flat, strict=True))
    battles = Battles(
        baseline=baseline, models=models, questions=questions, model_B=model, question_B=question, outcome_B=outcome
    )
    return Read(battles, notes)


def _possible(rows: list[BattleRow], path: Path) -> None:
    """A table does not say which battles are one game: two games' worth of rows is what can be checked."""
    two_games = set(_pairs())
    met: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        met[row.model, row.question_id][row.winner] += 1
    for key, winners in met.items():
        if tuple(winners[name] for name in _WINNERS) not in two_games:
            raise UserError(
                "a question is two games, each a tie, one win, or three",
                got=f"{dict(winners)} of {key} in {path}",
                remedy="keep each question once",
            )


def _pairs() -> Iterator[tuple[int, ...]]:
    """What two games can come to, as numbers of baseline's wins, ties and model's wins."""
    game = [(0, 0, 0), (1, 0, 0), (3, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 3)]
    return (tuple(map(sum, zip(one, other, strict=True))) for one in game for other in game)
