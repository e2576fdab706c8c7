"""A model folder goes to the hub, under a licence that its card names."""

from pathlib import Path
from typing import Any

from afterbase.core import hub
from afterbase.core.artifacts.atomic_writes import write_atomically
from afterbase.core.errors import UserError


def push_model(folder: Path, repo: str, *, licence: str | None, public: bool) -> str:
    """Upload a model folder as `repo`, ORG/NAME, private unless it is to be public; its address there.

    `licence` is written into the folder's card; without one the card names it already, as that of a model does whose
    base's card did. Raises UserError where neither does, for a folder without a model, and where the hub refuses.
    """
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise UserError(
            "a model folder goes to the hub",
            got=f"{folder}, where there is neither config.json nor adapter_config.json",
            remedy="name the folder that a run handed over",
        )
    card, text = _licensed(folder / "README.md", licence)
    hub.refuse_upload(repo)
    if text is not None:
        write_atomically(card, text.encode())
    return hub.upload_model(folder, repo, public=public)


def refuse_push(base: Path, repo: str, *, licence: str | None) -> None:
    """UserError before a training whose result could not be uploaded: no licence, no right to write there.

    `base` is the folder of the model that is trained, whose card's licence the result's card takes over.
    """
    if licence is None:
        _licensed(base / "README.md", None)
    hub.refuse_upload(repo)


def _licensed(path: Path, licence: str | None) -> tuple[Path, str | None]:
    """The card, and its text with the licence where that is not in it yet."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError  # of the parser that ModelCard reads with

    try:
        card = ModelCard(path.read_text() if path.is_file() else "", ignore_metadata_errors=False)
    except (ValueError, YAMLError) as error:
        raise UserError(
            "a model's card begins with YAML", got=f"{path}: {error}", remedy="correct it, or take it away"
        ) from error
    data: Any = card.data
    if licence is None and not data.license:
        raise UserError(
            "a model goes to the hub under a licence, which that of its base and of its data allow",
            got=f"none in {path}",
            remedy="name it, such as --licence apache-2.0",
        )
    if licence is None or licence == data.license:
        return path, None
    data.license = licence
    return path, str(card)
