"""A recipe that does not suit its model, its template or the devices here is refused before anything is made."""

from pathlib import Path

import pytest

from afterbase.cli import run_recipe
from afterbase.cli.recipes import plan_recipe
from afterbase.core.chat.chat_template import FOLDED
from afterbase.core.errors import UserError, UserErrors
from afterbase.data.domains import DOMAINS
from foreign import TEMPLATES

RECIPES = Path(__file__).parents[3] / "recipes"
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


def test_a_system_prompt_that_the_template_leaves_out_is_refused_before_a_draft_is_made(toy_folder, tmp_path):
    _with_template(toy_folder, NO_SYSTEM)
    recipe = _recipe("smoke.toml", toy_folder, tmp_path)
    for command in (run_recipe.run, plan_recipe.plan):
        with pytest.raises(UserError, match="chat template takes every prompt of the recipe") as caught:
            command(recipe, tmp_path / "root")
        for part in (str(toy_folder), DOMAINS["arithmetic"].REFLECTIVE_SYSTEM_PROMPT, "`arithmetic`'s", "lost or"):
            assert part in caught.value.got
    assert not (tmp_path / "root/store").exists()


def test_a_system_prompt_that_has_to_stand_within_the_users_turn_is_told(toy_folder, tmp_path, capsys):
    _with_template(toy_folder, TEMPLATES["gemma"])
    plan_recipe.plan(_recipe("smoke.toml", toy_folder, tmp_path), tmp_path / "root")
    assert capsys.readouterr().out.count(f"{toy_folder}: {FOLDED}") == 1


def test_a_judge_has_a_system_prompt_too(toy_folder, tmp_path):
    """A judge of the recipe's own is asked through the same template; reviewed drafts have no system prompt."""
    _with_template(toy_folder, NO_SYSTEM)
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


def test_cuda_where_there_is_none_is_refused_and_so_is_all_else_that_the_model_does_not_suit(
    toy_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = _recipe("rl.toml", toy_folder, tmp_path, **{"max_new_tokens = 320": "max_new_tokens = 100000"})
    path.write_text('device = "cuda"\n' + path.read_text())
    with pytest.raises(UserErrors) as caught:
        plan_recipe.plan(path, tmp_path / "root")
    assert [error.rule for error in caught.value.errors] == [
        "a device that a recipe names is there",
        *["a prompt and its answer fit in the model's context"] * 2,
    ]
    assert caught.value.got.startswith("`device` = cuda")
    assert not (tmp_path / "root/store").exists()


def test_grpo_on_cuda_is_refused_before_anything_is_made(toy_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    path = _recipe("rl.toml", toy_folder, tmp_path, **{"[grpo]\n": '[grpo]\ndevice = "cuda"\n'})
    with pytest.raises(UserError, match="GRPO samples and trains on the CPU") as caught:
        plan_recipe.plan(path, tmp_path / "root")
    assert caught.value.remedy == "leave `grpo.device` out"
