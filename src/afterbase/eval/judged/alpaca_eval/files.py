"""The files behind an AlpacaEval score, read and checked: instructions, regulariser, folds, and models' preferences.

A model comes as a table with one row an instruction, or as the pair that tatsu-lab/alpaca_eval publishes for each:
`annotations.json` (preferences and both texts) and `model_outputs.json` (all the model's answers, in the order of the
instructions). Rows may be missing or shuffled: each finds its instruction by the index, by the text's SHA-1, or by
its place in `model_outputs.json`, and the baseline's length has to be the one known for it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from afterbase.core.errors import UserError
from afterbase.core.rows import read_rows, read_table, refuse_repeats
from afterbase.eval.judged.alpaca_eval.score import BASELINE, Answers, Regulariser


class Instruction(BaseModel):
    """What is known of one of the benchmark's instructions."""

    index: int
    instruction_difficulty: float
    instruction_sha1: str | None = None
    """As many hexadecimal digits as the file has."""
    len_baseline: int | None = None


class RegulariserRow(BaseModel):
    """One answer of the baseline that was asked to be verbose or concise."""

    preference: float | None = None
    """In [0, 1]."""
    std_delta_len: float
    instruction_difficulty: float


class FoldRow(BaseModel):
    train_row: int
    fold: int


class TableRow(BaseModel):
    """The judge's preference on one instruction; lengths in characters."""

    index: int
    len_baseline: int
    len_model: int
    preference: float | None = None
    """1 the baseline, 2 the model, 0 or 1.5 even; None where the judge answered neither."""


class Annotation(BaseModel):
    """A row of the public annotations.json."""

    instruction: str
    output_1: str
    output_2: str
    generator_1: str
    generator_2: str
    preference: float | None = None


class Output(BaseModel):
    """A row of the public model_outputs.json."""

    instruction: str
    output: str
    generator: str


class Instructions:
    """The benchmark's instructions by index, 0 to n - 1."""

    def __init__(self, path: Path) -> None:
        rows = read_table(path, Instruction)
        refuse_repeats((row.index for row in rows), path)
        rows.sort(key=lambda row: row.index)
        if [row.index for row in rows] != list(range(len(rows))):
            raise UserError(
                "instructions are numbered from 0 without a gap", got=f"{path}", remedy="name the whole file"
            )
        _finite((row.instruction_difficulty for row in rows), path)
        self.difficulty_I = np.array([row.instruction_difficulty for row in rows])
        self.lengths = [row.len_baseline for row in rows]
        self.by_sha1 = {row.instruction_sha1: row.index for row in rows if row.instruction_sha1}
        self.digits = {len(digest) for digest in self.by_sha1}

    def index(self, text: str) -> int | None:
        """The index of an instruction by its text, if digests are known."""
        digest = hashlib.sha1(text.encode()).hexdigest()
        return next((self.by_sha1[digest[:n]] for n in self.digits if digest[:n] in self.by_sha1), None)


def read_regulariser(path: Path) -> Regulariser:
    """The prompted baseline's rows, in the file's order, which folds refer to."""
    rows = read_table(path, RegulariserRow)
    y_G = np.array([np.nan if row.preference is None else row.preference for row in rows])
    if np.any((y_G < 0) | (y_G > 1)):
        raise UserError("the regulariser's preferences lie in [0, 1]", got=f"{path}", remedy="subtract 1 from them")
    _finite((value for row in rows for value in (row.std_delta_len, row.instruction_difficulty)), path)
    return Regulariser(
        length_difference_G=np.array([row.std_delta_len for row in rows]),
        difficulty_G=np.array([row.instruction_difficulty for row in rows]),
        y_G=y_G,
    )


def read_folds(path: Path, *, n: int) -> np.ndarray:
    """(n,) the fold of each training row: the regulariser's rows, then the instructions in their order."""
    rows = read_table(path, FoldRow)
    refuse_repeats((row.train_row for row in rows), path)
    rows.sort(key=lambda row: row.train_row)
    if [row.train_row for row in rows] != list(range(n)):
        raise UserError(
            "folds name each row of the regulariser, then each instruction, from 0",
            got=f"{path} with {len(rows)} rows, {rows[0].train_row} to {rows[-1].train_row}, not 0 to {n - 1}",
            remedy="name the folds of this regulariser and these instructions",
        )
    if len({row.fold for row in rows}) < 2:
        raise UserError("cross-validation needs two folds", got=f"one in {path}", remedy="name another file")
    return np.array([row.fold for row in rows])


def read_models(paths: Sequence[Path], instructions: Instructions) -> list[Answers]:
    """Each model of the files, in their order. UserError for what would shift a score: see the module."""
    models: list[Answers] = []
    outputs: dict[str, tuple[Path, list[Output]]] = {}
    annotated: list[tuple[Path, list[Annotation]]] = []
    for path in paths:
        if ".json" not in path.suffixes:
            models.append(_from_table(path, instructions))
        elif "preference" in (read_rows(path, _Anything)[0].model_extra or {}):
            annotated.append((path, read_rows(path, Annotation)))
        else:
            rows = read_rows(path, Output)
            outputs[_one(path, "generator", (row.generator for row in rows))] = path, rows
    for path, rows in annotated:
        name = _one(path, "generator_2", (row.generator_2 for row in rows))
        if name not in outputs:
            raise UserError(
                "annotations come with the model's outputs",
                got=f"{path} of {name} alone",
                remedy="add model_outputs.json",
            )
        outputs_path, written = outputs.pop(name)
        models.append(_from_pair(name, path, rows, outputs_path, written, instructions))
    if outputs:
        raise UserError("outputs come with annotations", got=f"{[*outputs]} alone", remedy="add annotations.json")
    refuse_repeats((model.model for model in models), "the files given")
    return models


def _from_table(path: Path, instructions: Instructions) -> Answers:
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    rows = read_table(path, TableRow)
    same = all(row.len_model == row.len_baseline and row.preference in (0, 1.5, None) for row in rows)
    return _answers(name, path, rows, instructions, is_baseline=name == BASELINE or same)


def _from_pair(
    name: str,
    path: Path,
    annotations: list[Annotation],
    outputs_path: Path,
    outputs: list[Output],
    instructions: Instructions,
) -> Answers:
    refuse_repeats((row.instruction for row in outputs), outputs_path)
    answered = {row.instruction: (place, row.output) for place, row in enumerate(outputs)}
    complete = len(outputs) == len(instructions.lengths)
    rows = []
    for number, row in enumerate(annotations, start=1):
        place, answer = answered.get(row.instruction, (None, None))
        if answer != row.output_2:
            raise UserError(
                "annotations judge the answers of model_outputs.json",
                got=f"object {number} of {path} has another answer or instruction than {outputs_path}",
                remedy="name the two files of one run",
            )
        index = instructions.index(row.instruction)
        if index is None and not instructions.by_sha1 and complete:
            index = place
        if index is None:
            raise UserError(
                "an instruction is found by its SHA-1, or by its place in a model_outputs.json of all instructions",
                got=f"object {number} of {path}: {row.instruction[:60]!r}",
                remedy="name a file of difficulties with instruction_sha1, or the benchmark's own outputs",
            )
        lengths = {"len_baseline": len(row.output_1), "len_model": len(row.output_2)}
        rows.append(TableRow(index=index, preference=row.preference, **lengths))
    against = _one(path, "generator_1", (row.generator_1 for row in annotations))
    if name == BASELINE != against:
        raise UserError(
            f"the model is generator_2 and {BASELINE} generator_1", got=f"the reverse in {path}", remedy="swap them"
        )
    return _answers(name, path, rows, instructions, is_baseline=name == against)


def _answers(name: str, path: Path, rows: list[TableRow], instructions: Instructions, *, is_baseline: bool) -> Answers:
    refuse_repeats((row.index for row in rows), path)
    for row in rows:
        if not 0 <= row.index < len(instructions.lengths):
            raise UserError(
                "a row's index is an instruction's", got=f"index {row.index} in {path}", remedy="name its instructions"
            )
        known = instructions.lengths[row.index]
        if known not in (None, row.len_baseline):
            raise UserError(
                "a row's baseline answer is the one to the instruction of its index",
                got=f"{row.len_baseline} characters at index {row.index} of {path}, where the baseline wrote {known}",
                remedy="number the rows by instruction: rows that are left out leave a gap",
            )
        preference = row.preference
        if not (preference is None or np.isnan(preference) or preference == 0 or 1 <= preference <= 2):
            raise UserError(
                "a preference lies in [1, 2], or is 0 (even) or empty",
                got=f"{preference} at index {row.index} of {path}",
                remedy="correct or empty it",
            )
        if row.len_model < 0:
            raise UserError("a length is 0 or more", got=f"index {row.index} of {path}", remedy="correct it")
    rows = sorted(rows, key=lambda row: row.index)
    index_N = np.array([row.index for row in rows])
    preference_N = np.array([np.nan if row.preference is None else row.preference for row in rows])
    y_N = np.where(preference_N == 0, 1.5, preference_N) - 1
    if is_baseline and np.any(y_N[~np.isnan(y_N)] != 0.5):
        raise UserError(
            "the baseline against itself is even everywhere",
            got=f"other preferences in {path}",
            remedy="rename the model",
        )
    return Answers(
        model=name,
        is_baseline=is_baseline,
        index_N=index_N,
        difficulty_N=instructions.difficulty_I[index_N],
        length_difference_N=np.array([row.len_baseline - row.len_model for row in rows], dtype=float),
        y_N=y_N,
    )


class _Anything(BaseModel, extra="allow"):
    pass


def _one(path: Path, field: str, values: Iterable[str]) -> str:
    found = sorted(set(values))
    if len(found) != 1:
        raise UserError(f"a file has one {field}", got=f"{found} in {path}", remedy="a file for each model")
    return found[0]


def _finite(values: Iterable[float], path: Path) -> None:
    if not np.isfinite(list(values)).all():
        raise UserError("lengths and difficulties are finite", got=f"others in {path}", remedy="correct them")
