"""The files outside the store that decide what a recipe makes: its models, rows, tables, prompts and functions.

A field of a recipe that names a file is named here, too; a test goes through all fields that hold text.
"""

from collections.abc import Iterator
from pathlib import Path

from afterbase.core.config import Config, all_below
from afterbase.data.clean.deliver import RecipeCleaning
from afterbase.data.clean.semantic import Semantic, encoder_folder
from afterbase.data.formats.files_of_rows import files_of
from afterbase.data.generate.config import Preferences
from afterbase.data.generate.open_tables import OpenDomain
from afterbase.data.generate.teacher import Teacher
from afterbase.data.own.own_rows import OwnRows, row_files
from afterbase.data.problems.source_rows import Source
from afterbase.data.shipped_templates import SHIPPED_TEMPLATES
from afterbase.data.system_prompts import names
from afterbase.model.folders import find
from afterbase.recipe.own_domains import TaughtSource
from afterbase.recipe.post_training import Recipe
from afterbase.recipe.rl import RlRecipe
from afterbase.recipe.training_jobs import Job
from afterbase.reward.config import JudgeConfig
from afterbase.reward.rule_settings import ModelRule, OwnRule
from afterbase.verify.own.own_function import find as find_function
from afterbase.verify.own.own_function import is_own

PLACES = {
    "base": (Recipe, RlRecipe, Job),
    "chat_template": (Recipe, RlRecipe, Job),
    "path": (Source, OpenDomain, Preferences),
    "benchmarks": (Source, OpenDomain),
    "verifier": (Source,),
    "reward": (OpenDomain,),
    "system": (TaughtSource, OpenDomain, Teacher),
    "model": (Teacher,),
    "files": (OwnRows,),
    "principles": (JudgeConfig,),
    "against": (RecipeCleaning,),
    "encoder": (Semantic,),
    "function": (OwnRule,),
    "folder": (ModelRule,),
}
"""The fields that may name files, and the settings that have them."""


def outside_files(recipe: Recipe | RlRecipe | Job) -> list[Path]:
    """All of them, each once, in order. UserError for what is not there."""
    found = [path for settings in (recipe, *(table for _, table in all_below(recipe))) for path in _files_of(settings)]
    return sorted({path.absolute() for path in found})


def _files_of(settings: Config) -> Iterator[Path]:
    for name, kinds in PLACES.items():
        value = getattr(settings, name, None) if isinstance(settings, kinds) else None
        if value is not None:
            yield from _named(settings, name, value)


def _named(settings: Config, name: str, value: str | list[str]) -> Iterator[Path]:
    """The files that the value of one field means."""
    match name, value:
        case ("base" | "model", str()):
            yield from _below_folder(find(value))
        case ("folder", str()):
            yield from _below_folder(Path(value))
        case ("encoder", str()):
            yield from _below_folder(encoder_folder(value))
        case ("chat_template", str()):
            yield from () if value in SHIPPED_TEMPLATES else (Path(value),)
        case ("system", str()):
            yield from () if value in names() else (Path(value),)
        case ("principles", str()):
            yield Path(value)
        case ("verifier" | "reward" | "function", str()):
            yield from find_function(value).files() if is_own(value) else ()
        case ("path", str()):
            yield from files_of(value, split=getattr(settings, "split", None))
        case ("files", _):
            assert isinstance(settings, OwnRows)
            yield from row_files(settings)
        case _:
            for path in map(Path, value):
                yield from _below_folder(path) if path.is_dir() else (path,)


def _below_folder(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*") if path.is_file())
