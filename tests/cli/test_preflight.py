"""What would fail late on a recipe's templates, or for want of walls, is refused before anything is made."""

import json
from pathlib import Path

import pytest

from afterbase.cli import plan_recipe, preflight, run_recipe
from afterbase.core.errors import UserError
from afterbase.data.domains import DOMAINS
from afterbase.sandbox import remote
from foreign import TEMPLATES

RECIPES = Path(__file__).parents[2] / "recipes"
NO_SYSTEM = TEMPLATES["chatml"].replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")


def _recipe(name: str, base: Path, tmp_path: Path, **changes: str) -> Path:
    text = (RECIPES / name).read_text().replace('"tiny-v3"', f'"{base}"')
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / name
    path.write_text(text)
    return path


def _with_template(folder: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template)


@pytest.mark.parametrize(
    ("template", "words"),
    [(TEMPLATES["gemma"], "No system turn, please"), (NO_SYSTEM, "lost or changed")],
    ids=["refuses", "leaves out"],
)
def test_a_system_prompt_that_the_template_does_not_take_is_refused_before_a_draft_is_made(
    template, words, toy_folder, tmp_path
):
    _with_template(toy_folder, template)
    recipe = _recipe("smoke.toml", toy_folder, tmp_path)
    for command in (run_recipe.run, plan_recipe.plan):
        with pytest.raises(UserError, match="chat template takes every prompt of the recipe") as caught:
            command(recipe, tmp_path / "root")
        for part in (str(toy_folder), DOMAINS["arithmetic"].REFLECTIVE_SYSTEM_PROMPT, "`arithmetic`'s", words):
            assert part in caught.value.got
    assert not (tmp_path / "root/store").exists()


def test_a_judge_has_a_system_prompt_too(toy_folder, tmp_path):
    """A judge of the recipe's own is asked through the same template; reviewed drafts have no system prompt."""
    _with_template(toy_folder, TEMPLATES["gemma"])
    recipe = _recipe("chat_rewards.toml", toy_folder, tmp_path)
    with pytest.raises(UserError, match="chat template takes every prompt of the recipe") as caught:
        plan_recipe.plan(recipe, tmp_path / "root")
    assert "a judge's prompt with the system prompt `Judge the answer" in caught.value.got


def test_rl_without_drafts_asks_for_no_system_prompt(toy_folder, tmp_path):
    _with_template(toy_folder, TEMPLATES["gemma"])
    text = (RECIPES / "rl.toml").read_text().replace('"tiny-v3"', f'"{toy_folder}"')
    text = text[: text.index("[sft]")] + text[text.index("[grpo]") :]
    path = tmp_path / "rl.toml"
    path.write_text(text)
    plan_recipe.plan(path, tmp_path / "root")


def test_a_folder_without_a_tokenizer_is_refused(toy_folder, tmp_path):
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (toy_folder / file).unlink()
    with pytest.raises(UserError, match="a model folder has its tokenizer"):
        plan_recipe.plan(_recipe("smoke.toml", toy_folder, tmp_path), tmp_path / "root")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_without_walls_nothing_that_a_model_writes_is_scored(elsewhere, toy_folder, tmp_path, monkeypatch):
    """Scorers of maths and puzzles need them as programs do; only programs can be run elsewhere."""
    monkeypatch.setattr(preflight, "missing_isolation", lambda: "no Landlock here")
    monkeypatch.delenv(remote.URL, raising=False)
    if elsewhere:
        monkeypatch.setenv(remote.URL, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="run and scored in isolation or not at all") as caught:
        run_recipe.run(_recipe("smoke.toml", toy_folder, tmp_path), tmp_path / "root")
    assert caught.value.got == "no Landlock here; needed by " + ("arithmetic" if elsewhere else "arithmetic, code")
    assert not (tmp_path / "root/store").exists()


def test_without_walls_a_family_is_refused_too(toy_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "missing_isolation", lambda: "no Landlock here")
    family = '[families.sums]\nfamily = "chain_sum"\ntrain = 4\ntest = 48\n'
    text = (RECIPES / "rl.toml").read_text().replace('"tiny-v3"', json.dumps(str(toy_folder)))
    text = text[: text.index("[domains]")] + family + text[text.index("[grpo]") :]
    path = tmp_path / "families.toml"
    path.write_text(text)
    with pytest.raises(UserError, match="run and scored in isolation or not at all") as caught:
        plan_recipe.plan(path, tmp_path / "root")
    assert caught.value.got == "no Landlock here; needed by sums"


def test_a_recipe_whose_answers_a_model_judges_needs_no_walls(toy_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "missing_isolation", lambda: "no Landlock here")
    plan_recipe.plan(_recipe("chat_rewards.toml", toy_folder, tmp_path), tmp_path / "root")
