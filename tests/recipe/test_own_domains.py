"""Domains of one's own in a recipe of post-training: who writes, who rewards, and what is refused when it is read."""

import json
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.core.store import Store
from afterbase.recipe import Recipe, load_recipe
from afterbase.run import post_train
from afterbase.run_seed import Seed

OPEN = """
[open.cards]
path = "{folder}/cards.jsonl"
train = 4
test = 1
{more}
"""
SUMS = """
[sources.sums]
path = "{folder}/cards.jsonl"
verifier = "exact"
columns = {{ answer = "answer" }}
train = 4
test = 1
system = "reflect_and_verify"
"""
TEACHER = '[teacher]\nendpoint = { url = "http://127.0.0.1:9/v1", model = "m" }\n'


def written(micro: Path, tables: str, *, without: tuple[str, ...] = ()) -> Path:
    """The micro recipe with these tables in place of its shipped domains, and without some of its own tables."""
    rows = [{"prompt": f"Card {n}?", "answer": f"It is {n}."} for n in range(30)]
    micro.with_name("cards.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = micro.read_text()
    text = text[: text.index("[domains]")] + text[text.index("[expert]") :]
    parts = text.split("\n\n")
    kept = [part for part in parts if not part.startswith(tuple(f"[{name}]" for name in without))]
    micro.write_text("\n\n".join(kept) + "\n" + tables)
    return micro


def planned(path: Path, tmp_path: Path) -> dict[str, list[str]]:
    recipe = load_recipe(path)
    assert isinstance(recipe, Recipe)
    store = Store(tmp_path / "store", plan_only=True)
    post_train(Seed(store, recipe, 0))
    return {record.name: [artifact.name for artifact in record.inputs] for record in store.stages}


def test_a_recipe_of_open_domains_alone_has_no_expert(micro, tmp_path):
    tables = OPEN.format(folder=micro.parent, more='reward = "none"')
    path = written(micro, tables, without=("expert", "grpo", "reward_model", "dpo", "kto"))
    graph = planned(path, tmp_path)
    assert graph["SFT set"] == ["cards drafts"]
    assert not {name for name in graph if "GRPO" in name or "pairs" in name}


def test_a_recipe_of_tables_of_problems_alone_has_no_reward_model(micro, tmp_path):
    path = written(micro, SUMS.format(folder=micro.parent) + TEACHER)
    graph = planned(path, tmp_path)
    assert graph["GRPO"] == ["SFT", "sums problems"]
    assert "reward model" not in graph


def test_own_pairs_stand_beside_the_reviewers(micro, tmp_path):
    micro.with_name("pairs.jsonl").write_text(json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"}) + "\n")
    text = micro.read_text().replace("preferences = {", f'preferences = {{ path = "{micro.parent}/pairs.jsonl",')
    micro.write_text(text)
    graph = planned(written(micro, OPEN.format(folder=micro.parent, more="[review.cards]")), tmp_path)
    assert graph["all preference pairs"] == ["cards review pairs", "own pairs", "cards problems"]
    assert graph["reward model"] == ["SFT", "all preference pairs"]
    assert graph["score GRPO on cards"] == ["evaluate GRPO on cards", "cards problems", "reward model"]


def test_a_judge_rewards_and_scores_an_open_domain_in_the_place_of_a_model(micro, tmp_path):
    tables = OPEN.format(folder=micro.parent, more='reward = "judge"\n[judge]\nkind = "self"')
    graph = planned(written(micro, tables, without=("reward_model", "dpo", "kto")), tmp_path)
    assert graph["judge"] == ["SFT"]
    assert graph["GRPO"] == ["SFT", "cards problems", "judge"]
    assert graph["score GRPO on cards"] == ["evaluate GRPO on cards", "cards problems", "judge"]


def test_each_domain_may_have_a_teacher_and_a_system_prompt_of_its_own(micro):
    own = '[open.cards.teacher]\nendpoint = { url = "http://127.0.0.1:9/v1", model = "own" }\n[review.cards]'
    tables = SUMS.format(folder=micro.parent) + TEACHER + OPEN.format(folder=micro.parent, more=own)
    recipe = load_recipe(written(micro, tables))
    assert isinstance(recipe, Recipe)
    cards, sums = recipe.teacher_of("cards"), recipe.teacher_of("sums")
    assert cards is not None
    assert cards.endpoint is not None
    assert cards.endpoint.model == "own"
    assert sums is not None
    assert sums.system == "reflect_and_verify"
    assert sums.endpoint is not None
    assert (recipe.payer_of("cards"), recipe.payer_of("sums")) == ("micro/cards", "micro")


@pytest.mark.parametrize(
    ("more", "without", "rule"),
    [
        ("", (), "a reward model learns from pairs of each open domain"),
        ('reward = "judge"', (), "an open domain is rewarded by what the recipe has"),
        ('reward = "mine"', (), "rewarded by `model`, `judge`, `none`, or a function"),
        ("check_drafts = true", (), "drafts are checked by the function"),
        ('system = "reflect"', (), "a system prompt is for the teacher"),
        ('reward = "none"', (), "DPO and KTO learn from preference pairs"),
        ("[review.card]", (), "people review the open domains of a recipe"),
        ("[review.cards]", ("grpo",), "has its settings"),
        ("[review.cards]\n[examination]", (), "an examination makes its pairs of shipped open domains"),
        ("[review.cards]\n[open.chat]\npath = 'x'\ntest = 1", (), "have names of their own"),
    ],
)
def test_what_cannot_be_is_refused_when_the_recipe_is_read(micro, more, without, rule):
    path = written(micro, OPEN.format(folder=micro.parent, more=more), without=without)
    with pytest.raises(UserError) as raised:
        load_recipe(path)
    assert rule in str(raised.value)
