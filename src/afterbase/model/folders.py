"""Where a model lies: a shipped one by its name, one of the hub as hub:ORG/NAME, any other by its folder."""

from pathlib import Path

from afterbase.core import hub
from afterbase.core.errors import UserError

SHIPPED = {"tiny-v3": Path(__file__).parent / "tiny-v3"}


def find(name: str) -> Path:
    """The folder of a shipped model, of one of the hub, or a path; refuses one that is not a model folder.

    >>> find("tiny-v3").name
    'tiny-v3'
    """
    folder = hub.download_model(name) if name.startswith(hub.PREFIX) else SHIPPED.get(name, Path(name))
    if not (folder / "config.json").is_file():
        raise UserError(
            "a model is a shipped name or a Hugging Face folder with a config.json",
            got=f"`{name}`, where there is no config.json",
            remedy=f"use {', '.join(sorted(SHIPPED))}, or the path of a folder written by `save_pretrained`; "
            "hub:ORG/NAME downloads a model of the hub",
        )
    return folder
