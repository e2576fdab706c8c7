"""A recipe of kind `rl`: GRPO by itself in several variants, from the command to the report; what it may not say."""

import json
from pathlib import Path

import pytest
import torch

from afterbase.cli import run_recipe
from afterbase.cli.recipes import plan_recipe
from afterbase.core.errors import UserError
from afterbase.core.store import Store
from afterbase.recipe import RlRecipe, load_recipe
from afterbase.run import reinforce
from afterbase.run_seed import Seed
from afterbase.train.grpo.objective import Objective
from misbehaving import answering, completion, reply

TEXT = Path(__file__).with_name("rl.toml").read_text()


@pytest.fixture
def rl(toy_folder, tmp_path) -> Path:
    path = tmp_path / "rl.toml"
    path.write_text(TEXT.replace('"toy-model"', json.dumps(str(toy_folder))))
    return path


def test_a_run_ends_with_every_variant_before_and_after(rl, tmp_path, capsys):
    threads = torch.get_num_threads()
    run_recipe.run(rl, tmp_path / "root")
    torch.set_num_threads(threads)
    summary = json.loads((tmp_path / "root/runs/rl/run.json").read_text())
    assert {row["checkpoint"] for row in summary["evaluations"]} == {"base", "SFT", "plain", "hot"}
    assert {(c["a"], c["b"]) for c in summary["comparisons"]} == {("SFT", "plain"), ("SFT", "hot")}
    shared = [curve for curve in summary["curves"] if len(curve["series"]) > 1]
    assert {series["name"] for curve in shared for series in curve["series"]} == {"plain", "hot"}
    assert "report.html" in capsys.readouterr().out
    assert (tmp_path / "root/runs/rl/report.html").stat().st_size > 10_000
    plan_recipe.plan(rl, tmp_path / "root")
    assert "are cached: nothing to run" in capsys.readouterr().out


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


def mark_in(body) -> str:
    return body["messages"][-1]["content"].splitlines()[-1].split("`")[1].split()[1].rstrip(":")


def by_rule(body) -> bytes:
    """A judge of answers: 9 where the last one says nothing of `Indeed`, and B of two."""
    mark, text = mark_in(body), body["messages"][-1]["content"]
    compares = f"Answer B\n{mark}" in text
    return reply(200, completion(f"Fine.\nVerdict {mark}: {'tie' if compares else 9 - len(text) % 3}"))


def open_recipe(rl: Path, url: str) -> None:
    """The recipe on chat, with a variant a reward model."""
    text = rl.read_text().replace("arithmetic = { train = 2, test = 1 }", "chat = { train = 8, test = 12 }")
    text = (
        text.split("[variants]")[0]
        + f"""
[pairs]
samples = 0
[reward_model]
epochs = 1
pairs_per_step = 4
held_out = 0.3
optimisation = {{ learning_rate = 1e-3, floor = 1e-4 }}
[judge]
kind = "endpoint"
asked = {{ votes = 1, endpoint = {{ url = "{url}", model = "toy", first_wait = 0.0 }} }}
[examination]
pairs = 10
max_failed = 0.1
[variants]
scalar = {{ reward = "scalar" }}
judged = {{ reward = "judge" }}
"""
    )
    rl.write_text(text.replace("steps = 2", "steps = 4"))


def test_two_reward_models_are_examined_and_steer_a_run_each(rl, tmp_path):
    threads = torch.get_num_threads()
    with answering(by_rule) as server:
        open_recipe(rl, server.url)
        run_recipe.run(rl, tmp_path / "root")
        asked = len(server.requests)
        run_recipe.run(rl, tmp_path / "root")
        assert len(server.requests) == asked, "what is done is not asked again"
    torch.set_num_threads(threads)
    summary = json.loads((tmp_path / "root/runs/rl/run.json").read_text())
    assert {row["checkpoint"] for row in summary["evaluations"]} == {"base", "SFT", "scalar", "judged"}
    told = [note for note in summary["notes"] if note.startswith("Examine")]
    assert [note.split(":")[0] for note in told] == ["Examine the scalar reward model", "Examine the judge"]
    assert "held-out pairs ranked right" in told[0]
    assert "Of comparisons, 0% failed" in told[1]
    graph = {stage["name"]: stage["inputs"] for stage in summary["stages"]}
    assert graph["scalar"] == ["SFT", "chat problems", "reward model"]
    assert graph["judged"] == ["SFT", "chat problems", "judge"]
    scores = [
        curve for curve in summary["curves"] if curve["title"].startswith("scores of answers that no rule decides,")
    ]
    assert [[series["name"] for series in curve["series"]] for curve in scores] == [["scalar", "judged"]] * 2
    watched = [note for note in summary["notes"] if note.startswith("Hacking watch of ")]
    assert [note.split(",")[0].split()[-1] for note in watched] == ["scalar", "judged"]


def test_a_judge_that_refuses_is_refused_before_reinforcement_learning(rl, tmp_path):
    threads = torch.get_num_threads()
    with answering(lambda _: reply(200, completion("I cannot judge this."))) as server:
        open_recipe(rl, server.url)
        with pytest.raises(UserError, match="examined before it may steer") as raised:
            run_recipe.run(rl, tmp_path / "root")
    torch.set_num_threads(threads)
    assert "max_failed = 0.1, measured 1.000" in raised.value.got
    stages = [json.loads(m.read_text())["name"] for m in (tmp_path / "root/store").glob("*/manifest.json")]
    assert "scalar" in stages, "that one has passed"
    assert "judged" not in stages


def test_a_judge_without_its_token_is_refused_before_anything_is_made(rl, tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    open_recipe(rl, "http://127.0.0.1:9/v1")
    rl.write_text(rl.read_text().replace('model = "toy"', 'model = "toy", token_variable = "NO_SUCH_TOKEN"'))
    with pytest.raises(UserError, match="holds the endpoint's token"):
        run_recipe.run(rl, tmp_path / "root")
    assert not (tmp_path / "root/store").exists()


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('judged = { reward = "judge" }', "judged = { temperature = 1.1 }", "each run has one reward model"),
        ('kind = "endpoint"', 'kind = "self"', "a judge has `asked.endpoint` if and only if"),
        ('kind = "endpoint"', 'kind = "generative"', "a judge has `training` if and only if"),
        ("pairs = 10", "pairs = 9", "must be 10 or more"),
    ],
)
def test_what_a_recipe_may_not_say_of_reward_models(rl, old, new, rule):
    open_recipe(rl, "http://127.0.0.1:9/v1")
    rl.write_text(rl.read_text().replace(old, new))
    with pytest.raises(UserError) as raised:
        load_recipe(rl)
    assert rule in str(raised.value)


def test_a_judge_that_learns_is_made_from_the_pairs_of_training_problems(tmp_path):
    recipe = load_recipe(Path(__file__).parent.parent / "recipes/chat_rewards.toml")
    assert isinstance(recipe, RlRecipe)
    store = Store(tmp_path / "store", plan_only=True)
    reinforce(Seed(store, recipe, 0))
    graph = {record.name: [a.name for a in record.inputs] for record in store.stages}
    assert graph["generative"] == ["SFT", "chat problems", "judge"]
    assert graph["judge"] == ["judge, training"]
    assert graph["judge, training"] == ["SFT", "judgements"]
    assert graph["judgements"] == ["pairs", "chat problems"]
    assert graph["reward model"] == ["SFT", "pairs"], "both learn from the same pairs"
    assert graph["examine the judge"] == ["judge", "held-out pairs", "chat problems"]
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
        ("arithmetic =", "chess =", "names domains that exist"),
        ("[sft]", '[judge]\nkind = "self"\n[sft]', "judges domains that no rule decides"),
        ("arithmetic = { train = 2, test = 1 }", "", "at least one domain, family or source"),
        ("[sft]", '[families.arithmetic]\nfamily = "gcd"\ntrain = 2\ntest = 1\n[sft]', "names of their own"),
        ("[sft]", '[families.gcd]\nfamily = "gcd"\ntrain = 2\ntest = 1\n[sft]', "no worked answers"),
        ("test = 1 }", "test = 1 }\n[families.gcd]\nfamily='gcd'\ntrain=1\ntest=1", "no worked answers"),
        ("problems = 1", "problems = 2", "at least as many test problems"),
        ("seeds = [0]", "seeds = [0, 0]", "the same run twice"),
        ("samples = 2", "samples = 1", "must be 2 or more"),
    ],
)
def test_what_a_recipe_may_not_say(rl, old, new, rule):
    rl.write_text(rl.read_text().replace(old, new))
    with pytest.raises(UserError) as raised:
        load_recipe(rl)
    assert rule in str(raised.value)
