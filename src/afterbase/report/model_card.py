"""The card of a model that a run hands over: README.md as the hub reads it, from the lineage that the store holds."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import ModelCard, ModelCardData

from afterbase.core.sanitize import on_one_line, sanitized
from afterbase.core.store import Artifact, Store

_ROWS = ("samples", "train", "pairs", "answers")


def model_card(made: Artifact, folder: Path, *, store: Store, results: list[str]) -> str:
    """The text of the card of `folder`, which holds the model that `made` is."""
    lineage, missing = store.ancestors(made.key)
    base = next((artifact for artifact in lineage if artifact.manifest["stage"] == "base"), None)
    parts = [
        f"---\n{_front_matter(made, folder, base).to_yaml()}\n---",
        f"# {on_one_line(made.name)}",
        _base(made, base),
        "## Results",
        "\n".join(sanitized(line) for line in results) or "No evaluation was part of this run.",
        "## Data",
        _data(lineage),
        "## How to load it",
        _usage(folder),
        "## Settings",
        "Those of the last stage. `afterbase run recipe.toml` repeats the whole run ([recipe.toml](recipe.toml)).",
        f"```json\n{sanitized(json.dumps(made.manifest['what'], indent=2, ensure_ascii=False))}\n```",
        "## Lineage",
        _lineage([*reversed(lineage), made], missing),
    ]
    return "\n\n".join(parts) + "\n"


def is_reward_model(folder: Path) -> bool:
    """Whether the folder's model gives scores and no text."""
    config = folder / "config.json"
    kinds = json.loads(config.read_text()).get("architectures") or [] if config.is_file() else []
    return (folder / "reward_head.safetensors").is_file() or any(k.endswith("SequenceClassification") for k in kinds)


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _front_matter(made: Artifact, folder: Path, base: Artifact | None) -> ModelCardData:
    kind = made.manifest["stage"].replace("_", "-")
    known = {} if base is None else _own_card(base.payload)
    return ModelCardData(
        library_name="peft" if _is_adapter(folder) else "transformers",
        pipeline_tag="text-classification" if is_reward_model(folder) else "text-generation",
        tags=["afterbase", kind],
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


def _base(made: Artifact, base: Artifact | None) -> str:
    how = f"Made by the stage `{made.manifest['stage']}` of afterbase"
    if base is None:
        return f"{how}."
    licence = _own_card(base.payload).get("license", "not known")
    return f"{how}, from a base model of digest `{base.digest}`, licence: {licence}."


def _data(lineage: list[Artifact]) -> str:
    """A row for each table of rows that the model was made from."""
    rows = []
    for artifact in reversed(lineage):
        for name in _ROWS:
            path = artifact.payload / f"{name}.parquet"
            if path.is_file():
                count = pq.read_metadata(path).num_rows
                licence = artifact.manifest["what"].get("licence", "not stated")
                rows.append(
                    f"| {_cell(artifact.name)} | {name} | {count} | {_cell(licence)} | `{artifact.digest[:16]}` |"
                )
    if not rows:
        return "None."
    return "\n".join(["| data | kind | rows | licence | digest |", "|---|---|---:|---|---|", *rows])


def _usage(folder: Path) -> str:
    return "See the documentation of afterbase."


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
