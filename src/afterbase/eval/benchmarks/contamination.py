"""Which questions of benchmarks a model was trained on, as far as known: from its lineage and from named files.

A question counts where a row holds it as `data/clean/decontaminate.py` says. Of a checkpoint that a run made, the rows
are all samples in its lineage that were not dropped, and the problems that reinforcement learning asked.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from afterbase.core.sample import read_problems
from afterbase.core.store import Store
from afterbase.data.clean.decontaminate import Contamination, Decontamination, hash_benchmark
from afterbase.data.formats.read import read_tables

_SAMPLES, _PROBLEMS = "samples.parquet", "train.parquet"


class Training(NamedTuple):
    """What a model was trained on: files of samples, files of problems, and names of what of it is not there."""

    samples: list[Path]
    problems: list[Path]
    missing: list[str]

    @property
    def known(self) -> bool:
        return bool(self.samples or self.problems)


def training_of(folder: Path | None, files: Sequence[Path]) -> Training:
    """The named files, and what the lineage of a model's folder holds, if a run made it."""
    samples, problems, missing = list(files), [], []
    artifact = None if folder is None else _artifact(folder.resolve())
    if artifact is not None:
        made_from, missing = Store(artifact.parent).ancestors(artifact.name)
        samples += [path for a in made_from if (path := a.payload / _SAMPLES).is_file()]
        problems += [path for a in made_from if (path := a.payload / _PROBLEMS).is_file()]
    return Training(samples, problems, missing)


def _artifact(model: Path) -> Path | None:
    """STORE/KEY, where the model is STORE/KEY/payload or, of a step on the way, STORE/KEY/checkpoints/STEP."""
    step = model.parent.name == "checkpoints"
    folder = model.parent.parent if step else model.parent
    return folder if (step or model.name == "payload") and (folder / "manifest.json").is_file() else None


def contaminated(questions: Sequence[str], training: Training, show: Callable[[int], None]) -> set[str]:
    """Those of the questions that the training rows hold; `show` is told how many rows have been read."""
    asked = [text for text in dict.fromkeys(questions) if any(map(str.isalnum, text))]
    if not asked:
        return set()
    search = Contamination([hash_benchmark("questions", asked)], Decontamination().overlap)
    found: set[str] = set()
    done = 0
    for rows in _rows(training):
        found |= {asked[item] for _, item in search.items(rows)}
        done += len(rows)
        show(done)
    return found


def _rows(training: Training) -> Iterator[list[list[str]]]:
    """Rows by the texts of their turns, some at a time."""
    for path in training.samples:
        for table in read_tables(path):
            kept: pa.Table = table.filter(table["dropped"].is_null())
            yield [[turn["content"] for turn in row] for row in kept["messages"].to_pylist()]
    for path in training.problems:
        yield [[problem.prompt] for problem in read_problems(path)]
