"""Every file that a recipe names is among those that decide whether a run is the same as the last one."""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.config import Config
from afterbase.core.errors import UserError
from afterbase.model.folders import SHIPPED
from afterbase.recipe import Recipe, RlRecipe, load_recipe
from afterbase.recipe.load_recipe import KINDS
from afterbase.recipe.outside_files import PLACES, outside_files
from afterbase.recipe.training_jobs import Job

NO_FILES = {
    # names, and what is written into prompts or rows
    "name", "domains", "families", "sources", "open", "experts", "variants", "own", "documents", "shares", "family",
    "settings", "instruction", "licence", "split", "language", "target", "columns", "template_args",
    # columns of tables
    "prompt", "id", "answer", "response", "function", "tests", "instructions",
    # where something is asked or computed, which changes no result, or is in the recipe itself
    "url", "token_variable", "engine_url", "cache", "currency", "ray", "database",
    # filled in when the recipe is read
    "digest",
    # of a review, whose runs are never told to be unchanged
    "review", "reasons", "guideline",
}  # fmt: skip
OTHERWISE = {("EndpointConfig", "model"), ("OwnRule", "function"), ("Rewards", "reward")}


def settings_of(kind: type[Config], seen: set[type[Config]]) -> Iterator[type[Config]]:
    """The kind and all settings below it, each once."""
    if kind not in seen:
        seen.add(kind)
        yield kind
        for field in kind.model_fields.values():
            for inner in classes(field.annotation):
                yield from settings_of(inner, seen)


def classes(annotation: Any) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from classes(argument)


def holds_text(annotation: Any) -> bool:
    if typing.get_origin(annotation) is typing.Literal:
        return False
    return annotation in (str, Path) or any(holds_text(argument) for argument in typing.get_args(annotation))


def test_every_field_that_holds_text_is_known_to_name_files_or_not():
    seen: set[type[Config]] = set()
    kinds = [kind for kind in KINDS.values() if issubclass(kind, Recipe | RlRecipe | Job)]
    unknown = [
        f"{settings.__name__}.{name}: say in outside_files.py or here whether it names a file"
        for kind in kinds
        for settings in settings_of(kind, seen)
        for name, field in settings.model_fields.items()
        if holds_text(field.annotation)
        and not issubclass(settings, PLACES.get(name, ()))
        and name not in NO_FILES
        and (settings.__name__, name) not in OTHERWISE
    ]
    assert unknown == []


def named(recipe: str, tmp_path: Path) -> set[str]:
    """Names of the files outside the shipped model that a recipe of that text names."""
    (tmp_path / "recipe.toml").write_text(recipe)
    loaded = load_recipe(tmp_path / "recipe.toml")
    assert isinstance(loaded, Recipe | RlRecipe | Job)
    files = outside_files(loaded)
    assert all(path.is_absolute() for path in files)
    return {str(path.relative_to(tmp_path)) for path in files if not path.is_relative_to(SHIPPED["tiny-v3"])}


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_of_a_grpo_recipe_the_table_its_function_and_what_that_imports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        sums__jsonl='{"prompt": "1 + 1?", "answer": "2"}\n',
        judge__py="import helper\n\ndef score(**given):\n    return helper.one\n",
        helper__py="one = 1\n",
        short__py="def short(**given):\n    return 1\n",
    )
    recipe = """
    kind = "grpo"
    name = "toy"
    base = "tiny-v3"
    problems = { path = "sums.jsonl", verifier = "judge.py:score" }
    [grpo]
    max_new_tokens = 8
    optimisation = { learning_rate = 1e-3 }
    rewards = { own = { short = { function = "short.py:short" } } }
    """
    assert named(recipe, tmp_path) == {"sums.jsonl", "judge.py", "helper.py", "short.py"}


def test_of_an_sft_recipe_the_base_the_template_and_all_files_of_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base/inner").mkdir(parents=True)
    row = '{"prompt": "1?", "completion": "2"}\n'
    write(tmp_path / "base", config__json="{}", model__safetensors="x")
    write(tmp_path / "base/inner", more__json="{}")
    write(tmp_path, a1__jsonl=row, a2__jsonl=row, held__jsonl=row, template__jinja="{{ messages }}")
    recipe = """
    kind = "sft"
    name = "toy"
    base = "base"
    chat_template = "template.jinja"
    [data]
    files = ["a*.jsonl=0.5"]
    eval = { files = ["held.jsonl"] }
    [sft]
    epochs = 1
    optimisation = { learning_rate = 1e-3 }
    """
    base = {"base/config.json", "base/model.safetensors", "base/inner/more.json"}
    assert named(recipe, tmp_path) == base | {"a1.jsonl", "a2.jsonl", "held.jsonl", "template.jinja"}
    (tmp_path / "held.jsonl").unlink()
    with pytest.raises(UserError, match="a file of rows exists"):
        named(recipe, tmp_path)


def test_of_a_teacher_its_model_and_its_prompt_where_that_is_no_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher").mkdir()
    write(tmp_path / "teacher", config__json="{}")
    write(tmp_path, rows__jsonl='{"prompt": "1?"}\n', reflect__txt="Reflect.")
    recipe = """
    kind = "distillation"
    name = "toy"
    base = "tiny-v3"
    data = { files = ["rows.jsonl"] }
    teacher = { model = "teacher", system = "SYSTEM" }
    [sft]
    epochs = 1
    optimisation = { learning_rate = 1e-3 }
    """
    assert named(recipe.replace("SYSTEM", "reflect"), tmp_path) == {"rows.jsonl", "teacher/config.json"}
    with_own = {"rows.jsonl", "teacher/config.json", "reflect.txt"}
    assert named(recipe.replace("SYSTEM", "reflect.txt"), tmp_path) == with_own
