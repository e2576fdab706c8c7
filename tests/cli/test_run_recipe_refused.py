"""What would fail late is refused before anything is made."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from afterbase.cli import run_recipe
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.data.domains import DOMAINS

SMOKE = (Path(__file__).parents[2] / "recipes/smoke.toml").read_text()


@pytest.fixture
def recipe(toy_folder: Path, tmp_path: Path) -> Path:
    """The smallest shipped recipe, on the toy model."""
    path = tmp_path / "recipe.toml"
    path.write_text(SMOKE.replace('"tiny-v3"', f'"{toy_folder}"'))
    return path


def _change(recipe: Path, old: str, new: str) -> None:
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))


def test_missing_base_is_refused_before_anything_is_made(recipe, tmp_path):
    _change(recipe, str(tmp_path / "toy-model"), "no-such-model")
    with pytest.raises(UserError, match="a model is a shipped name or a Hugging Face folder"):
        run_recipe.run(recipe, tmp_path / "root")
    assert not (tmp_path / "root/store").exists()


def test_domain_whose_verifier_rejects_its_own_gold_is_refused(recipe, tmp_path, monkeypatch):
    def problem(rng) -> Problem:
        a = rng.randint(0, 10_000)
        gold = f"\\boxed{{{a + 1}}}"
        return Problem(domain="arithmetic", prompt=f"{a}?", gold=gold, verifier="maths", spec={"answer": str(a)})

    domain = SimpleNamespace(NAME="arithmetic", problem=problem, REFLECTIVE_SYSTEM_PROMPT="Think.")
    monkeypatch.setitem(DOMAINS, "arithmetic", domain)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="every verifier must accept its own gold answer") as caught:
        run_recipe.run(recipe, tmp_path / "root")
    assert "20 of 20 rejected" in caught.value.got
    assert not (tmp_path / "root/store").exists()


def test_a_rollout_server_that_is_not_there_is_told_before_anything_is_trained(recipe, tmp_path):
    text = recipe.read_text()
    recipe.write_text(text.replace("[grpo]\n", '[grpo]\nengine = "vllm"\nengine_url = "http://127.0.0.1:9"\n'))
    assert text != recipe.read_text()
    with pytest.raises(UserError, match="a rollout server must be running before the run") as caught:
        run_recipe.run(recipe, tmp_path / "root")
    assert "127.0.0.1:9" in caught.value.got
    assert not list((tmp_path / "root/store").glob("*/manifest.json"))


def test_answers_that_leave_no_room_for_a_prompt_are_refused(recipe, tmp_path):
    text = recipe.read_text()
    at = text.index("max_new_tokens = ", text.index("[grpo]"))
    recipe.write_text(text[:at] + "max_new_tokens = 100000" + text[text.index("\n", at) :])
    with pytest.raises(UserError, match="fit in the model's context") as caught:
        run_recipe.run(recipe, tmp_path / "root")
    assert caught.value.got.startswith("`grpo.max_new_tokens` = 100000, and a context of ")
    assert not (tmp_path / "root/store").exists()
