"""A recipe of kind `rl`: GRPO by itself in several variants, from the command to the report; what it may not say."""

import json
from pathlib import Path

import pytest
import torch

from afterbase import launch
from afterbase.core.errors import UserError
from afterbase.core.store import Store
from afterbase.recipe import RlRecipe, load_recipe
from afterbase.run import Seed, reinforce
from afterbase.train.objective import Objective

TEXT = Path(__file__).with_name("rl.toml").read_text()


@pytest.fixture
def rl(toy_folder, tmp_path) -> Path:
    path = tmp_path / "rl.toml"
    path.write_text(TEXT.replace('"toy-model"', json.dumps(str(toy_folder))))
    return path


def test_a_run_ends_with_every_variant_before_and_after(rl, tmp_path, capsys):
    threads = torch.get_num_threads()
    launch.run(rl, tmp_path / "root")
    torch.set_num_threads(threads)
    summary = json.loads((tmp_path / "root/runs/rl/run.json").read_text())
    assert {row["checkpoint"] for row in summary["evaluations"]} == {"base", "SFT", "plain", "hot"}
    assert {(c["a"], c["b"]) for c in summary["comparisons"]} == {("SFT", "plain"), ("SFT", "hot")}
    shared = [curve for curve in summary["curves"] if len(curve["series"]) > 1]
    assert {series["name"] for curve in shared for series in curve["series"]} == {"plain", "hot"}
    assert "report.html" in capsys.readouterr().out
    assert (tmp_path / "root/runs/rl/report.html").stat().st_size > 10_000
    launch.plan(rl, tmp_path / "root")
    assert "0 minutes" in capsys.readouterr().out


def test_variants_start_from_one_model_and_differ_in_what_they_say(rl, tmp_path):
    recipe = load_recipe(rl)
    assert isinstance(recipe, RlRecipe)
    runs = recipe.runs()
    assert runs["plain"].temperature == 1.0
    assert (runs["hot"].temperature, runs["hot"].objective) == (1.3, Objective(preset="dapo"))
    store = Store(tmp_path / "store", plan_only=True)
    reinforce(Seed(store, recipe, 0))
    graph = {record.name: [a.name for a in record.inputs] for record in store.stages}
    assert graph["plain"] == graph["hot"] == ["SFT", "arithmetic problems"]
    assert graph["SFT"] == ["base model", "drafts"]


def test_without_variants_and_fine_tuning_it_is_one_run_from_the_base(rl, tmp_path):
    rl.write_text(rl.read_text().split("[sft]")[0].replace("[domains]", "[families.divisors]").replace(
        "arithmetic = { train = 2, test = 1 }", 'family = "gcd"\ntrain = 2\ntest = 1'
    ) + "[grpo]" + TEXT.split("[grpo]")[1].split("[variants]")[0])  # fmt: skip
    recipe = load_recipe(rl)
    assert isinstance(recipe, RlRecipe)
    store = Store(tmp_path / "store", plan_only=True)
    reinforce(Seed(store, recipe, 0))
    graph = {record.name: [a.name for a in record.inputs] for record in store.stages}
    assert graph["GRPO"] == ["base model", "divisors problems"]


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("arithmetic =", "chat =", "those that a rule decides"),
        ("arithmetic = { train = 2, test = 1 }", "", "at least one domain or family"),
        ("[sft]", '[families.arithmetic]\nfamily = "gcd"\ntrain = 2\ntest = 1\n[sft]', "a name of its own"),
        ("[sft]", '[families.gcd]\nfamily = "gcd"\ntrain = 2\ntest = 1\n[sft]', "no worked answers"),
        ("test = 1 }", "test = 1 }\n[families.gcd]\nfamily='gcd'\ntrain=1\ntest=1", "no worked answers"),
        ("problems = 1", "problems = 2", "at least as many test problems"),
        ("seeds = [0]", "seeds = [0, 0]", "the same run twice"),
        ("samples = 2", "samples = 1", "greater than or equal to 2"),
    ],
)
def test_what_a_recipe_may_not_say(rl, old, new, rule):
    rl.write_text(rl.read_text().replace(old, new))
    with pytest.raises(UserError) as raised:
        load_recipe(rl)
    assert rule in str(raised.value)
