"""A recipe is written for a model and files of one's own: it loads, and its plan can be made."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from afterbase.cli.main import app
from afterbase.cli.recipes import plan_recipe
from afterbase.cli.recipes.init_recipe import init_recipe
from afterbase.core.errors import UserError, UserErrors
from afterbase.recipe import load_recipe

ROWS = {
    "sft": {"messages": [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]},
    "preference": {"prompt": "{n} + 1?", "chosen": "2", "rejected": "3"},
    "reward-model": {"prompt": "{n} + 1?", "chosen": "2", "rejected": "3"},
    "rl": {"question": "{n} + 1?", "answer": "{n}"},
    "post-training": {"question": "{n} + 1?", "answer": "{n}"},
}


def _table(tmp_path: Path, row: dict, name: str = "my rows.jsonl", count: int = 100) -> str:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row).replace("{n}", str(n)) + "\n" for n in range(count)))
    return str(path)


@pytest.mark.parametrize("kind", ROWS)
def test_the_recipe_of_each_kind_loads_and_can_be_planned(kind, tmp_path, toy_folder):
    out = tmp_path / "My recipe.toml"
    told = init_recipe(str(toy_folder), [_table(tmp_path, ROWS[kind])], kind, out)
    recipe = load_recipe(out)
    assert (recipe.kind, recipe.name) == (kind, "my-recipe")
    assert told[-1] == f"next: afterbase plan {out}"
    assert out.read_text().count("#") > 3
    plan_recipe.plan(out, tmp_path / "root")


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (ROWS["sft"], "sft"),
        (ROWS["preference"], "preference"),
        ({"instruction": "Add.", "input": "1 + 1", "output": "2"}, "sft"),
        ({"prompt": "1 + 1?", "completion": "2", "label": True}, "preference"),
    ],
)
def test_the_kind_is_told_by_the_rows(row, kind, tmp_path, toy_folder):
    out = tmp_path / "recipe.toml"
    [found, *_] = init_recipe(str(toy_folder), [_table(tmp_path, row)], None, out)
    assert load_recipe(out).kind == kind
    assert "100 rows" in found
    assert ("[kto]" in out.read_text()) == ("label" in row)


def test_mistakes_are_told_together_and_nothing_is_written(tmp_path):
    out = tmp_path / "recipe.toml"
    with pytest.raises(UserErrors) as caught:
        init_recipe("nowhere", [str(tmp_path / "absent.jsonl")], "sft", out)
    assert len(caught.value.errors) == 2
    assert not out.exists()


def test_a_file_that_is_there_is_not_written_over(tmp_path, toy_folder):
    out = tmp_path / "recipe.toml"
    out.write_text("mine")
    with pytest.raises(UserError, match="a new recipe is a new file"):
        init_recipe(str(toy_folder), [_table(tmp_path, ROWS["sft"])], None, out)
    assert out.read_text() == "mine"


def test_the_command_takes_flags_and_does_not_ask_where_nobody_answers(tmp_path, toy_folder):
    runner, out = CliRunner(), tmp_path / "recipe.toml"
    given = ["init", "--model", str(toy_folder), "--data", _table(tmp_path, ROWS["sft"]), "--out", str(out)]
    assert "a recipe of the kind sft" in runner.invoke(app, given, catch_exceptions=False).output
    with pytest.raises(UserError, match="a recipe is of a model and of rows"):
        runner.invoke(app, ["init"], catch_exceptions=False)
    with pytest.raises(UserError, match="a recipe is of a kind"):
        runner.invoke(app, [*given, "--kind", "sfft"], catch_exceptions=False)
