"""A cleaned set as files: the rows that stay, those that left and why, and a data card; for users and for recipes.

For users: a folder that is whole or not there, made in a work folder beside it. For recipes: an artifact, with all rows
in one file, as the other stages have them.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from afterbase.core.config import How, what
from afterbase.core.errors import UserError
from afterbase.core.sample import SAMPLE_SCHEMA
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.clean.card import Tally, as_markdown
from afterbase.data.clean.clean import Cleaned, Cleaning, Job, Show, clean, file_digest
from afterbase.data.formats.export import kept, whole
from afterbase.data.mixture import preview

VERSION = 2


class RecipeCleaning(Cleaning):
    """Cleaning as a recipe asks for it."""

    against: How[tuple[str, ...]] = Field(default=())
    """Files of benchmark hashes that the set may not hold (`afterbase data hash`)."""

    @model_validator(mode="after")
    def _once(self) -> "RecipeCleaning":
        for name, given in self.mixture.domains.items():
            if given.epochs > 1:
                raise UserError(
                    "in a recipe each row is used once a pass",
                    got=f"epochs = {given.epochs} of `{name}`",
                    remedy="set the passes as `epochs` of [sft]",
                )
        return self


def clean_sets(store: Store, name: str, sets: Sequence[Artifact], config: RecipeCleaning) -> Artifact:
    """samples.parquet of all sets, those that break a rule marked as dropped; card.json and card.md."""
    benchmarks = tuple(Path(path) for path in config.against)

    def make(work: Workspace) -> None:
        sources = tuple(a.payload / "samples.parquet" for a in sets)
        job = Job(sources, work.scratch / "clean", config, benchmarks)
        cleaned = clean(job, lambda _, done, total: work.show(done, total))
        card = _write(cleaned, name, {"samples.parquet": lambda table: table}, work.payload, agreement=_agreement(sets))
        work.log(1, 1, **card["rows"])

    digests = [file_digest(path) for path in benchmarks]
    inputs = {f"set_{i}": a for i, a in enumerate(sets)}
    return store.produce(name, "clean", VERSION, what={**what(config), "against": digests}, inputs=inputs, make=make)


def _agreement(sets: Sequence[Artifact]) -> dict[str, float]:
    """Alpha of each set that people reviewed, by the set's name; none where no draft was reviewed twice."""
    found: dict[str, float] = {}
    for made in sets:
        report = made.payload / "agreement.json"
        alpha = json.loads(report.read_text())["alpha"]["value"] if report.is_file() else None
        if alpha is not None:
            found[f"{made.name}, Krippendorff's alpha"] = alpha
    return found


def clean_files(
    sources: Sequence[Path], out: Path, cleaning: Cleaning, benchmarks: Sequence[Path], *, domain: str, show: Show
) -> dict[str, Any]:
    """The card of the folder `out`, made of files: samples.parquet, dropped.parquet, card.json, card.md.

    UserError where `out` is there and is not what this would make. An interrupted run leaves a work folder beside it,
    and the same call goes on from there.
    """
    work = out.with_name(f".{out.name}.work")
    job = Job(tuple(sources), work / "job", cleaning, tuple(benchmarks), domain)
    settings = {"made_of": job.fingerprint(), "settings": what(cleaning)}
    if out.exists():
        known = json.loads((out / "card.json").read_text()) if (out / "card.json").is_file() else {}
        if any(known.get(key) != value for key, value in settings.items()):
            raise UserError(
                "cleaning does not overwrite",
                got=f"{out} is there, of other rows or settings",
                remedy="name another folder, or remove this one",
            )
        return known
    cleaned = clean(job, show)
    with whole(out) as part:
        part.mkdir()
        writers = {"samples.parquet": kept, "dropped.parquet": _dropped}
        card = _write(cleaned, out.name, writers, part, **settings)
    shutil.rmtree(work)
    return card


def look(
    sources: Sequence[Path], out: Path, cleaning: Cleaning, benchmarks: Sequence[Path], *, domain: str, show: Show
) -> str:
    """The mixture that `clean_files` would make, as a table; nothing is written but the work folder, for that call."""
    work = out.with_name(f".{out.name}.work")
    return preview(clean(Job(tuple(sources), work / "job", cleaning, tuple(benchmarks), domain), show).drawn)


def _write(
    cleaned: Cleaned,
    name: str,
    files: dict[str, Callable[[pa.Table], pa.Table]],
    folder: Path,
    **about: Any,
) -> dict[str, Any]:
    tally = Tally()
    writers = {file: pq.ParquetWriter(folder / file, SAMPLE_SCHEMA) for file in files}
    try:
        for table in cleaned.tables():
            tally.add(table)
            for file, choose in files.items():
                rows = choose(table)
                if rows.num_rows:
                    writers[file].write_table(rows)
    finally:
        for writer in writers.values():
            writer.close()
    card = tally.card(name=name, mixture=cleaned.drawn, crowded_keys=cleaned.crowded, **about)
    (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    (folder / "card.md").write_text(as_markdown(card, cleaned.drawn))
    return card


def _dropped(table: pa.Table) -> pa.Table:
    return table.filter(table["dropped"].is_valid())
