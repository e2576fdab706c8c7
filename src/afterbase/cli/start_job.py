"""One training as one call: `afterbase.sft(...)` and its siblings, which the commands of the same names call.

What is not said is chosen by the size of the model and of the data (recipe/defaults.py), printed, and written down in
the recipe that the run leaves: OUT/recipe.toml repeats it. A call that was interrupted goes on where it stopped.
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from afterbase.cli.run_recipe import Finished, run_loaded
from afterbase.core import distributed as ranks
from afterbase.core.config import config_of
from afterbase.core.errors import UserError
from afterbase.core.progress import Silent
from afterbase.core.store import Store
from afterbase.data.own.row_lengths import RowLengths, row_lengths
from afterbase.model.families import context_length, read_config
from afterbase.model.folders import find
from afterbase.model.size import parameter_count
from afterbase.recipe import Job, SftRecipe, defaults
from afterbase.recipe.job_table import Table, as_toml, merged, nested
from afterbase.run_jobs import make_job_data
from afterbase.train.config import Lora

Rows = str | Path | Sequence[str | Path]
"""A file, a pattern or a folder of rows, or several."""

_SETTINGS = "the settings of this training"  # what messages call the source of a faulty one
_HEAD = """Written by the run that made this folder. To repeat it, from the folder where it ran:
    afterbase run {name}"""


class Options(TypedDict, total=False):
    """What every training may be told beside its model, its data and where to write."""

    settings: Mapping[str, Any]
    """Any keys of its recipe, dotted or nested: {"epochs": 3, "sft.optimisation.betas": [0.9, 0.99]}."""
    recipe: str | Path | None
    """A TOML file with many such settings."""
    eval: Rows | None
    """Rows that are never trained on and that the model is measured on."""
    eval_every: int | None
    """Steps between these measurements."""
    lora: bool
    """Train a LoRA adapter in place of all weights."""
    trained: Literal["all", "last"] | None
    """The assistant's turns that bear loss; all unless told otherwise."""
    seed: int | None
    root: str | Path
    """Where `runs/` and `store/` lie; the working directory unless told otherwise."""


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    model: Path
    """A folder that transformers, vLLM and afterbase load."""
    metrics: list[dict[str, Any]]
    """What was measured at each step, in order."""
    seconds: float
    """What the training took, when it was made."""
    report: Path
    """One HTML file."""

    @property
    def steps(self) -> int:
        """Steps that were trained."""
        return len(self.metrics)

    @property
    def first_loss(self) -> float | None:
        """The loss of the first step."""
        return self._losses[0] if self._losses else None

    @property
    def last_loss(self) -> float | None:
        """The loss of the last step."""
        return self._losses[-1] if self._losses else None

    @property
    def _losses(self) -> list[float]:
        return [row["loss"] for row in self.metrics if "loss" in row]

    def summary(self) -> dict[str, Any]:
        """What `--json` prints: model, steps, first_loss, last_loss, seconds."""
        return {
            "model": str(self.model),
            "steps": self.steps,
            "first_loss": self.first_loss,
            "last_loss": self.last_loss,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True)
class _Base:
    name: str
    parameters: int
    context: int


def sft(model: str | Path, data: Rows, *, out: str | Path, **options: Unpack[Options]) -> Trained:
    """Supervised fine-tuning of a model on rows of chats, questions and answers, or text; the model is left in `out`.

    Raises UserError for whatever is wrong with rows or settings, before anything is trained.

    >>> trained = sft("tiny-v3", "rows.jsonl", out="tuned", settings={"epochs": 1})  # doctest: +SKIP
    >>> trained.last_loss < trained.first_loss  # doctest: +SKIP
    True
    """
    return _start(SftRecipe, "sft", str(model), {"data": {"files": _names(data)}}, Path(out), options)


def _start(kind: type[Job], stage: defaults.Stage, model: str, given: Table, out: Path, options: Options) -> Trained:
    root = Path(options.get("root") or ".")
    config = read_config(find(model))
    base = _Base(model, parameter_count(find(model)), context_length(config))
    kind_name = kind.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]
    head = {"kind": kind_name, "name": _run_name(out, root), "base": model}
    said = merged(_said(kind, stage, given, options), head)
    draft = config_of(merged(_defaults(stage, base, said, None), said), kind, _SETTINGS)  # wrong settings first of all
    ranks.start()
    lengths = row_lengths(make_job_data(Store(root / "store", progress=Silent()), draft, draft.seeds[0])[0])
    table = merged(_defaults(stage, base, said, lengths), said)
    recipe = config_of(table, kind, _SETTINGS)
    table = merged({**head, "threads": recipe.threads, "seeds": list(recipe.seeds)}, table)
    _refuse_other_settings(out, table)
    text = as_toml(table, head=_HEAD.format(name=out / "recipe.toml"))
    finished = run_loaded(recipe, text, root, model=out, chosen=_chosen(stage, base, table, lengths))
    ranks.end()
    return _trained(finished, root / "runs" / recipe.name / "report.html", out)


def _said(kind: type[Job], stage: str, given: Table, options: Options) -> Table:
    """What the user said: data, then a recipe file, then options, then single settings."""
    said: Table = {}
    if (path := options.get("recipe")) is not None:
        said = nested(_file(Path(path)), kind, stage)
    said = merged(said, given)
    if (seed := options.get("seed")) is not None:
        said["seeds"] = [seed]
    if (trained := options.get("trained")) is not None:
        said = merged(said, {"data": {"trained": trained}})
    if (measured := options.get("eval")) is not None:
        said = merged(said, {"data": {"eval": {"files": _names(measured)}}})
    if (every := options.get("eval_every")) is not None:
        said = merged(said, {stage: {"eval_every": every}})
    if options.get("lora") and "lora" not in said.get(stage, {}):
        said = merged(said, {stage: {"lora": {}}})
    return merged(said, nested(options.get("settings") or {}, kind, stage))


def _file(path: Path) -> Table:
    """A file of settings; a whole recipe's kind, name and base are the command's."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError("settings come from a TOML file", got=f"{path}: {error}", remedy="correct it") from error
    return {key: value for key, value in table.items() if key not in ("kind", "name", "base")}


def _defaults(stage: defaults.Stage, base: _Base, said: Table, lengths: RowLengths | None) -> Table:
    """What a stage's table has where the user says nothing; before the rows were read, anything valid."""
    own = said.get(stage, {})
    lora = own.get("lora") is not None
    rows, tokens, longest = lengths or (1, 1, 1)
    size = own.get("row_tokens", defaults.row_tokens(tokens, longest, base.context))
    packed = max(1, math.ceil(tokens / size))
    rows_per_step = own.get("rows_per_step", defaults.rows_per_step(packed))
    epochs = own.get("epochs", defaults.epochs(rows))
    steps = epochs * math.ceil(packed / rows_per_step)
    return {
        stage: {
            "epochs": epochs,
            "row_tokens": size,
            "rows_per_step": rows_per_step,
            "optimisation": defaults.optimisation(stage, base.parameters, steps=steps, lora=lora),
        }
    }


def _chosen(stage: defaults.Stage, base: _Base, table: Table, lengths: RowLengths) -> list[str]:
    """What is printed before a run: who learns what, and how."""
    own, rate = table[stage], table[stage]["optimisation"]
    lora = own.get("lora")
    what = "all weights" if lora is None else f"a LoRA adapter of rank {lora.get('rank', Lora().rank)}"
    return [
        f"base: {base.name}, {_short(base.parameters)} parameters, a context of {base.context} tokens",
        f"data: {lengths.rows} rows, about {lengths.tokens} tokens",
        f"learning rate: {rate['learning_rate']:g}, down to {rate['floor']:g}, after {rate['warmup_steps']} steps of "
        f"warm-up; of {what}",
        f"steps: {own['rows_per_step']} x {own['row_tokens']} tokens each, {own['epochs']} epochs",
    ]


def _short(count: int) -> str:
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _names(rows: Rows) -> list[str]:
    return [str(rows)] if isinstance(rows, str | Path) else [str(name) for name in rows]


def _run_name(out: Path, root: Path) -> str:
    """The run's name: the folder's path below the root, or its own name where it lies elsewhere."""
    whole = out.absolute()
    parts = whole.relative_to(root.absolute()).parts if whole.is_relative_to(root.absolute()) else (whole.name,)
    return re.sub(r"[^a-z0-9_-]+", "-", "-".join(parts).lower()).strip("-_") or "model"


def _refuse_other_settings(out: Path, table: Table) -> None:
    """A folder holds the model of one run: another's is not replaced in silence."""
    path = out / "recipe.toml"
    if not path.is_file():
        return
    there = tomllib.loads(path.read_text())
    other = sorted(key for key in {*table, *there} if table.get(key) != there.get(key))
    if other:
        raise UserError(
            "a folder holds the model of one training",
            got=f"{out}, whose recipe.toml has another {', '.join(f'`{key}`' for key in other)}",
            remedy="name another folder with --out, or delete this one",
        )


def _trained(finished: Finished | None, report: Path, out: Path) -> Trained:
    if finished is None:  # a rank beside the first one
        return Trained(out, [], 0.0, report)
    return Trained(out, finished.final.metrics(), finished.final.manifest["seconds"], report)
