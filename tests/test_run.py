"""The program of the recipe as a graph: who is made from whom, without making anything."""

from pathlib import Path

import pytest

from afterbase.core.store import StageRecord, Store
from afterbase.data.clean.dedup import Dedup
from afterbase.data.clean.deliver import RecipeCleaning
from afterbase.data.review.review_policy import Review
from afterbase.eval.reward_model_exam import Examination
from afterbase.recipe import BaseRecipe, Judge, Recipe, load_recipe
from afterbase.run import comparisons, post_train, run_base
from afterbase.run_seed import Outcome, Seed

FOLDER = Path(__file__).parent.parent / "recipes"


@pytest.fixture
def recipe(toy_folder) -> Recipe:
    smoke = load_recipe(FOLDER / "smoke.toml")
    assert isinstance(smoke, Recipe)
    return smoke.model_copy(update={"base": str(toy_folder)})


def _graph(store: Store) -> dict[str, list[str]]:
    """Names of what each stage is made from; no two stages have one name."""
    assert len({record.name for record in store.stages}) == len(store.stages)
    return {record.name: [a.name for a in record.inputs] for record in store.stages}


def _planned(tmp_path: Path, recipe: Recipe, seed: int = 0) -> tuple[Store, Outcome]:
    store = Store(tmp_path / "store", plan_only=True)
    return store, post_train(Seed(store, recipe, seed))


def _record(store: Store, name: str) -> StageRecord:
    return next(record for record in store.stages if record.name == name)


def test_experts_write_the_data_that_the_base_is_tuned_on(tmp_path, recipe):
    store, outcome = _planned(tmp_path, recipe)
    graph = _graph(store)
    for domain in ("arithmetic", "code"):
        assert graph[f"{domain} drafts"] == [f"{domain} problems"]
        assert graph[f"{domain} expert, SFT"] == ["base model", f"{domain} drafts"]
        assert graph[f"{domain} expert, GRPO"] == [f"{domain} expert, SFT", f"{domain} problems"]
        assert graph[f"{domain} rejection sampling"] == [f"{domain} expert, GRPO", f"{domain} problems"]
    assert graph["SFT set"] == ["arithmetic rejection sampling", "code rejection sampling", "chat review"]
    assert graph["SFT"] == ["base model", "SFT set"]
    assert graph["preference pairs"] == ["SFT", "chat problems", "chat review"]
    assert graph["reward model"] == ["SFT", "preference pairs"]
    problems = ["arithmetic problems", "code problems", "chat problems"]
    assert graph["GRPO"] == ["SFT", *problems, "reward model"]
    assert outcome.final_model().name == "GRPO"
    assert not (tmp_path / "store").exists()


def test_a_recipe_that_asks_for_it_cleans_before_it_mixes(tmp_path, recipe):
    cleaning = RecipeCleaning(dedup=Dedup(similarity=0.9))
    store, outcome = _planned(tmp_path, recipe.model_copy(update={"cleaning": cleaning}))
    graph = _graph(store)
    assert graph["cleaned set"] == ["arithmetic rejection sampling", "code rejection sampling", "chat review"]
    assert graph["SFT set"] == ["cleaned set"]
    assert [a.name for a in outcome.data[-2:]] == ["cleaned set", "SFT set"]
    plain, _ = _planned(tmp_path, recipe)
    assert {r.artifact.key for r in plain.stages if r.name.endswith("sampling")} == {
        r.artifact.key for r in store.stages if r.name.endswith("sampling")
    }


def test_every_stage_comes_after_what_it_is_made_from(tmp_path, recipe):
    store, _ = _planned(tmp_path, recipe)
    seen: set[str] = set()
    for name, sources in _graph(store).items():
        assert set(sources) <= seen
        seen.add(name)


def test_checkpoints_are_examined_on_held_out_problems_of_their_domains(tmp_path, recipe):
    store, outcome = _planned(tmp_path, recipe)
    graph = _graph(store)
    for checkpoint, model in (("base", "base model"), ("SFT", "SFT"), ("GRPO", "GRPO")):
        for domain in ("arithmetic", "code", "chat"):
            assert graph[f"evaluate {checkpoint} on {domain}"] == [model, f"{domain} problems"]
    for domain in ("arithmetic", "code"):
        examined = [f"evaluate expert SFT on {domain}", f"evaluate expert SFT + prompt on {domain}"]
        assert [graph[name][0] for name in examined] == [f"{domain} expert, SFT"] * 2
        assert graph[f"evaluate expert on {domain}"][0] == f"{domain} expert, GRPO"
    assert [a.name for a in outcome.answers] == [name for name in graph if name.startswith("evaluate ")]


def test_people_review_drafts_in_the_place_of_recorded_reviews(tmp_path, recipe):
    store, outcome = _planned(tmp_path, recipe.model_copy(update={"review": {"chat": Review()}}))
    graph = _graph(store)
    assert graph["chat review"] == ["chat drafts"]
    assert list(graph).index("chat drafts") < list(graph).index("arithmetic expert, SFT")
    assert "chat review" in graph["SFT set"]
    assert outcome.final_model().name == "GRPO"
    assert not (tmp_path / "runs").exists()


def test_without_an_open_domain_there_is_no_reward_model(tmp_path, recipe):
    reasoning = {name: recipe.domains[name] for name in recipe.reasoning}
    store, outcome = _planned(tmp_path, recipe.model_copy(update={"domains": reasoning}))
    assert outcome.reward_model is None
    assert _graph(store)["GRPO"] == ["SFT", "arithmetic problems", "code problems"]


def test_a_judge_takes_the_place_of_the_scalar_reward_model(tmp_path, recipe):
    self_judge = Judge(kind="self")
    changed = recipe.model_copy(
        update={"reward_model": None, "judge": self_judge, "dpo": None, "kto": None, "examination": Examination()}
    )
    store = Store(tmp_path / "store", plan_only=True)
    outcome = post_train(Seed(store, changed, 0))
    graph = _graph(store)
    assert graph["judge"] == ["SFT"]
    assert graph["GRPO"][-1] == "judge"
    assert "reward model" not in graph
    assert "preference pairs" not in graph
    assert [a.name for a in outcome.examinations] == ["examine the judge"]


def test_baselines_are_two_controls_beside_the_recipe(tmp_path, recipe):
    without, _ = _planned(tmp_path, recipe)
    store, _ = _planned(tmp_path, recipe.model_copy(update={"baselines": True}))
    graph = _graph(store)
    added = {name: sources for name, sources in graph.items() if name not in _graph(without)}
    assert added["arithmetic, teacher only"] == ["base model", "arithmetic reflective drafts"]
    assert added["SFT set of original responses"] == [
        "arithmetic original drafts", "code original drafts", "chat review"
    ]  # fmt: skip
    assert added["SFT, original only"] == ["base model", "SFT set of original responses"]
    assert {record.artifact.key for record in without.stages} < {record.artifact.key for record in store.stages}


def test_another_seed_shares_only_the_base_and_the_review(tmp_path, recipe):
    keys = []
    for seed in (0, 1):
        store, _ = _planned(tmp_path, recipe, seed)
        keys.append({record.artifact.key: record.name for record in store.stages})
    assert [keys[0][key] for key in keys[0].keys() & keys[1].keys()] in (
        ["base model", "chat review"],
        ["chat review", "base model"],
    )


def test_compared_settings_are_all_evaluated(tmp_path, recipe):
    recipe = recipe.model_copy(update={"baselines": True})
    store, _ = _planned(tmp_path, recipe)
    pairs = list(comparisons(recipe))
    assert {pair.decoding for pair in pairs} == {"sampled"}
    for pair in pairs:
        for domain in [pair.domain] if pair.domain else recipe.reasoning:
            for checkpoint, system_prompt in ((pair.a, pair.system_prompt_a), (pair.b, pair.system_prompt_b)):
                asked = f"{checkpoint} + prompt" if system_prompt else checkpoint
                assert f"evaluate {asked} on {domain}" in _graph(store)


def test_greedy_answers_are_compared_where_none_are_sampled(recipe):
    greedy = recipe.evaluation.model_copy(update={"samples": 0})
    pairs = comparisons(recipe.model_copy(update={"evaluation": greedy}))
    assert {pair.decoding for pair in pairs} == {"greedy"}


def test_training_and_generation_have_a_cost_before_the_run(tmp_path, recipe):
    store, _ = _planned(tmp_path, recipe.model_copy(update={"baselines": True}))
    for record in store.stages:
        if record.stage in ("sft", "grpo"):
            assert record.cost.trained > 0, record.name
        if record.stage in ("grpo", "curate", "evaluate", "preferences"):
            assert record.cost.generated > 0, record.name


def test_cost_of_sft_grows_with_the_problems_up_to_the_cap_of_the_mixture(tmp_path, recipe):
    def tokens(train: int) -> int:
        domains = {name: p.model_copy(update={"train": train}) for name, p in recipe.domains.items()}
        store, _ = _planned(tmp_path, recipe.model_copy(update={"domains": domains}))
        return _record(store, "SFT").cost.trained

    cap = recipe.mixture.most_per_domain
    assert tokens(cap // 2) < tokens(cap) == tokens(2 * cap)


def test_base_recipe_measures_the_base_beside_two_controls(tmp_path):
    recipe = load_recipe(FOLDER / "tiny-base.toml")
    assert isinstance(recipe, BaseRecipe)
    store = Store(tmp_path, plan_only=True)
    facts = run_base(store, recipe)
    assert facts.name == "base model facts"
    graph = _graph(store)
    assert graph["tokenizer"] == ["corpus"]
    for name in ("first phase", "control, balanced", "control, unbalanced"):
        assert graph[name] == ["corpus", "tokenizer"]
    assert graph["base"] == ["first phase", "worked corpus"]
    assert graph["base model facts"] == ["base", "corpus", "control, balanced", "control, unbalanced"]
