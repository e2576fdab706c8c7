"""Where a model lies: a shipped one or a run's by its name, one of the hub as hub:ORG/NAME, any other by its folder."""

import json
from pathlib import Path
from typing import Any

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
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise UserError(
            "a model folder holds a whole model",
            got=f"`{name}`, which holds a LoRA adapter alone",
            remedy="take the model that a training leaves without --adapter; peft loads the adapter on its base",
        )
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


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer of a model folder, without running code of the folder's own.

    Raises UserError, with transformers' reason, for a folder that has none that can be loaded.
    """
    from transformers import AutoTokenizer  # slow to import

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds
        raise UserError(
            "a model folder has its tokenizer",
            got=f"{folder}: {type(error).__name__}: {' '.join(str(error).split())[:200]}",
            remedy="put the tokenizer's files into the folder, or use another model",
        ) from error


def not_whole(file: Path, error: Exception) -> UserError:
    """The error of a file of weights that cannot be read: cut off, or the pointer that Git LFS puts in its place."""
    return UserError(
        "a model folder holds its weights whole",
        got=f"{file}, {file.stat().st_size if file.is_file() else 0} bytes: {error}",
        remedy="copy or download the folder again; after a `git clone`, call `git lfs pull`",
    )
