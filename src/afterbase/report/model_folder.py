"""What a run hands over: a model folder that transformers, vLLM and peft load, with its card and the recipe.

The folder is written beside its place and then renamed into it: there is all of it or none. `afterbase.json` in it says
which run wrote it, and which files; a later run of the same name replaces these, and nothing else.
"""

import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.store import Artifact, Store
from afterbase.model.folders import SHIPPED
from afterbase.report.model_card import hub_id, model_card

_MARK = "afterbase.json"
_TOKENIZER = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model", "*.jinja",
    "additional_chat_templates/*",
)  # fmt: skip
_MODEL = ("config.json", "generation_config.json", "*.safetensors", "model.safetensors.index.json")
_TEMPERATURE = 0.7  # where neither the base nor the training names one: that of the V3 report's repeated samples
_ADAPTER, _CONFIG = "adapter", "adapter_config.json"


def write_model_folder(
    made: Artifact, folder: Path, *, store: Store, recipe_text: str, results: list[str], adapter: bool = False
) -> None:
    """Weights, tokenizer, chat template, generation settings, card and recipe of the model that a stage made.

    `results` are lines of the card: what was measured, with intervals. Of a model that was trained with LoRA the folder
    has the adapter, too, as `adapter/` in peft's format; with `adapter` it is that of the adapter alone. The files have
    the modes of any new file.

    Raises UserError for a folder that holds other files than those that the same run wrote, and where there is no
    adapter.
    """
    run = tomllib.loads(recipe_text).get("name", made.name)
    target = folder.resolve()
    part, old = (target.with_name(f".{target.name}.afterbase-{end}") for end in ("part", "old"))
    _restore(target, old)  # of a process that was killed
    shutil.rmtree(part, ignore_errors=True)
    refuse_foreign(target, run=run)
    if adapter and not (made.payload / _ADAPTER / "adapter_model.safetensors").is_file():
        raise UserError(
            "an adapter is handed over where one was trained",
            got=f"`{made.name}`, which was trained without LoRA",
            remedy="train with LoRA, or take the whole model",
        )
    try:
        _fill(part, made, store=store, recipe_text=recipe_text, results=results, adapter=adapter)
        files = sorted(str(path.relative_to(part)) for path in part.rglob("*") if path.is_file())
        mark = {"afterbase": version("afterbase"), "run": run, "key": made.key, "digest": made.digest, "files": files}
        _write_json(part / _MARK, mark)
        if target.exists():
            target.rename(old)
        part.rename(target)
    finally:
        _restore(target, old)
        shutil.rmtree(part, ignore_errors=True)


def _restore(target: Path, old: Path) -> None:
    """Where a model was to be replaced, exactly one of both is left, the new one if it is there."""
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        old.rename(target)


def refuse_foreign(folder: Path, *, run: str) -> None:
    """UserError unless a run may write its model there: nothing, an empty folder, or its own earlier model.

    Folders above it are made.
    """
    _refuse_unwritable(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise _taken(folder, "a file")
    there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    mark = folder / _MARK
    written = json.loads(mark.read_text()) if mark.is_file() else {"run": None, "files": []}
    foreign = [name for name in there if name not in {*written["files"], _MARK}]
    if foreign:
        others = f", and {len(foreign) - 1} more such files" if len(foreign) > 1 else ""
        raise _taken(folder, f"{foreign[0]}, which it did not write{others}")
    if there and written["run"] != run:
        raise _taken(folder, f"the model of the run `{written['run']}`")


def _refuse_unwritable(folder: Path) -> None:
    """UserError where the folder cannot be made beside its place, or not be renamed: a mounted one cannot."""
    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=".afterbase-", dir=target.parent).cleanup()
        why = "a mounted folder, which cannot be replaced" if target.is_mount() else None
    except OSError as error:
        why = error.strerror or str(error)
    if why is not None:
        raise UserError(
            "a model is written beside its folder and then takes its place",
            got=f"{folder}: {why}",
            remedy=f"name a folder that can be made, such as {target / 'model'}"
            if target.is_mount()
            else "name another",
        )


def _taken(folder: Path, found: str) -> UserError:
    return UserError(
        "a model is written into a new or an empty folder, or in the place of an earlier model of the same run",
        got=f"{folder}, where there is {found}",
        remedy="name another folder, or move what is there",
    )


def _fill(part: Path, made: Artifact, *, store: Store, recipe_text: str, results: list[str], adapter: bool) -> None:
    recipe = tomllib.loads(recipe_text)
    part.mkdir(parents=True)
    for path in _wanted(made.payload, _TOKENIZER if adapter else (*_TOKENIZER, *_MODEL)):
        _copy(path, part / path.relative_to(made.payload))
    if (made.payload / _ADAPTER).is_dir():
        _copy_adapter(made, part if adapter else part / _ADAPTER, _before(made, store, recipe))
    if (part / "generation_config.json").is_file():
        _complete_generation_settings(part, made)
    (part / "recipe.toml").write_text(recipe_text)
    (part / "README.md").write_text(model_card(made, part, store=store, recipe=recipe, results=results))


def _copy_adapter(made: Artifact, folder: Path, base: str) -> None:
    """The adapter, with the place of the model that it was trained on."""
    for path in _wanted(made.payload / _ADAPTER, ("*.json", "*.safetensors")):
        _copy(path, folder / path.name)
    settings = json.loads((folder / _CONFIG).read_text())
    _write_json(folder / _CONFIG, settings | {"base_model_name_or_path": base})


def _before(made: Artifact, store: Store, recipe: Mapping[str, Any]) -> str:
    """Where others find the model that an adapter was trained on: on the hub, or in a folder here."""
    source = made.manifest["inputs"]["model"]
    before = store.find(source["key"], source["name"])
    assert before is not None, "an artifact's inputs are in its store"
    base = str(recipe.get("base", ""))
    if before.manifest["stage"] != "base":
        return str(before.payload.absolute())
    return hub_id(base) or str(SHIPPED.get(base, Path(base)).absolute())


def _wanted(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    yield from sorted(found)


def _copy(source: Path, target: Path) -> None:
    """The bytes alone: the store's files may be readable for their owner only."""
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)


def _complete_generation_settings(part: Path, made: Artifact) -> None:
    """Sampling defaults where the base named none; the stop tokens are there since the model was saved."""
    path = part / "generation_config.json"
    settings: dict[str, Any] = json.loads(path.read_text())
    if not settings.keys() & {"do_sample", "temperature", "top_p", "top_k"}:
        temperature = made.manifest["what"].get("temperature", _TEMPERATURE)
        settings |= {"do_sample": True, "temperature": temperature}
    settings.pop("_from_model_config", None)  # it would let transformers make the settings anew
    _write_json(path, settings)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
