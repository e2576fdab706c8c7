"""Where a model lies: a shipped one or a run's by its name, one of the hub as hub:ORG/NAME, any other by its folder."""

import json
from pathlib import Path

from afterbase.core import hub
from afterbase.core.errors import UserError

SHIPPED = {"tiny-v3": Path(__file__).parent / "tiny-v3"}


def find(name: str) -> Path:
    """The folder of a shipped model, of one of the hub, of a finished run, or a path; refuses what is no model folder.

    A run is one of `runs/` in the working directory: its name stands for the model that it handed over.

    >>> find("tiny-v3").name
    'tiny-v3'
    """
    folder = hub.download_model(name) if name.startswith(hub.PREFIX) else SHIPPED.get(name, Path(name))
    if not (folder / "config.json").is_file():
        folder = _handed_over(name) or folder
    if not (folder / "config.json").is_file():
        raise UserError(
            "a model is a shipped name or a Hugging Face folder with a config.json",
            got=f"`{name}`, where there is no config.json",
            remedy=f"use {', '.join(sorted(SHIPPED))}, or the path of a folder written by `save_pretrained`; "
            "hub:ORG/NAME downloads a model of the hub",
        )
    return folder


def _handed_over(run: str) -> Path | None:
    """The model of a run by its name; None where there is no such run, or none that is finished."""
    summary = Path("runs") / run / "run.json"
    if Path(run).name != run or not summary.is_file():
        return None
    folder = json.loads(summary.read_text()).get("model_folder")
    return None if folder is None else Path(folder)
