"""The card of a model that a run hands over: README.md as the hub reads it, from the lineage that the store holds."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import ModelCard, ModelCardData

from afterbase.core import hub
from afterbase.core.sanitize import on_one_line, sanitized
from afterbase.core.store import Artifact, Store
from afterbase.report.measures import measured
from afterbase.report.model_usage import is_adapter, is_reward_model, usage

_TABLES = ("samples", "train", "pairs", "answers")
_LICENCES = ("license", "licence")


def model_card(made: Artifact, folder: Path, *, store: Store, recipe: Mapping[str, Any], results: list[str]) -> str:
    """The text of the card of `folder`, which holds the model that `made` is; `recipe` is what its TOML says."""
    lineage, missing = store.ancestors(made.key)
    base = next((artifact for artifact in lineage if artifact.manifest["stage"] == "base"), None)
    named = str(recipe.get("base", ""))
    parts = [
        f"---\n{_front_matter(made, folder, base, named).to_yaml()}\n---",
        f"# {on_one_line(str(recipe.get('name', made.name)))}",
        _base(made, base, named),
        "## Results",
        "\n".join(f"- {sanitized(line)}" for line in [*results, *measured(made)]),
        "## Data",
        _data(lineage),
        "## How to use it",
        usage(folder),
        "## Settings",
        "Those of the last stage. `afterbase run recipe.toml` ([recipe.toml](recipe.toml)) repeats the whole run, from "
        "the folder where it ran.",
        f"```json\n{sanitized(json.dumps(made.manifest['what'], indent=2, ensure_ascii=False))}\n```",
        "## Lineage",
        _lineage([*reversed(lineage), made], missing),
    ]
    return "\n\n".join(parts) + "\n"


def hub_id(base: str) -> str | None:
    """The hub's name of a base that the recipe names as hub:ORG/NAME; None of another one."""
    return hub.hub_name(base).repo if base.startswith(hub.PREFIX) else None


def _front_matter(made: Artifact, folder: Path, base: Artifact | None, named: str) -> ModelCardData:
    known = {} if base is None else _own_card(base.payload)
    return ModelCardData(
        base_model=hub_id(named),
        library_name="peft" if is_adapter(folder) else "transformers",
        pipeline_tag="text-classification" if is_reward_model(folder) else "text-generation",
        tags=["afterbase", made.manifest["stage"].replace("_", "-")],
        license=known.get("license"),
        language=known.get("language"),
    )


def _own_card(folder: Path) -> dict[str, Any]:
    """The front matter of a model's own card; nothing where there is none that can be read."""
    path = folder / "README.md"
    try:
        return ModelCard(path.read_text(), ignore_metadata_errors=True).data.to_dict() if path.is_file() else {}
    except Exception:  # of somebody else's YAML
        return {}


def _base(made: Artifact, base: Artifact | None, named: str) -> str:
    how = f"Made by the stage `{made.manifest['stage']}` of afterbase"
    if base is None:
        return f"{how}."
    licence = _own_card(base.payload).get("license", "not known")
    return f"{how}, from `{on_one_line(named)}` (licence: {licence}; digest of its files: `{base.digest}`)."


def _data(lineage: list[Artifact]) -> str:
    """A row for each table of rows that the model was made from."""
    rows = []
    for artifact in reversed(lineage):
        for path in (artifact.payload / f"{name}.parquet" for name in _TABLES):
            if path.is_file():
                rows.append(
                    f"| {_cell(artifact.name)} | {path.stem} | {pq.read_metadata(path).num_rows} | "
                    f"{_cell(_licences(artifact, path))} | `{artifact.digest}` |"
                )
    if not rows:
        return "None but the base."
    return "\n".join(["| data | kind | rows | licences | digest |", "|---|---|---:|---|---|", *rows])


def _licences(artifact: Artifact, path: Path) -> str:
    """What the source's settings say, else the rows themselves, the most frequent first."""
    stated = artifact.manifest["what"].get("licence")
    if stated:
        return stated
    if "extra" not in pq.read_schema(path).names:
        return "not stated"
    extras = (json.loads(text) for text in pq.read_table(path, columns=["extra"])["extra"].to_pylist() if text)
    found = Counter(str(extra[name]) for extra in extras for name in _LICENCES if extra.get(name))
    return ", ".join(name for name, _ in found.most_common()) or "not stated"


def _lineage(stages: list[Artifact], missing: list[str]) -> str:
    """A row a stage, in the order of their making."""
    rows = [
        f"| {_cell(a.name)} | {a.manifest['stage']} {a.manifest['version']} | `{a.key}` | "
        f"{_cell(', '.join(made_from['name'] for made_from in a.manifest['inputs'].values()))} |"
        for a in stages
    ]
    lost = [f"No longer in the store: {', '.join(map(on_one_line, missing))}."] if missing else []
    environment = ", ".join(f"{name} {value}" for name, value in stages[-1].manifest["environment"].items())
    return "\n\n".join(
        [
            "\n".join(["| made | stage, version | key | from |", "|---|---|---|---|", *rows]),
            *lost,
            f"The last stage ran with {environment}. `afterbase trace ID` leads from a training sample or an evaluated "
            "answer back to its problem, its teacher and the base.",
        ]
    )


def _cell(text: str) -> str:
    return on_one_line(str(text)).replace("|", "\\|")
