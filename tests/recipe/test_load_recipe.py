"""Every shipped recipe parses, and a wrong one is told what to write instead."""

import re
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.data.domains import DOMAINS
from afterbase.recipe import BaseRecipe, Recipe, RlRecipe, load_recipe, shipped_recipe

FOLDER = Path(__file__).parents[2] / "recipes"
SMOKE, TINY_BASE = ((FOLDER / name).read_text() for name in ("smoke.toml", "tiny-base.toml"))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipe_parses(path: Path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert isinstance(recipe, {"base": BaseRecipe, "rl": RlRecipe, "post-training": Recipe}[recipe.kind])


def test_domains_are_sorted_into_reasoning_and_open():
    recipe = load_recipe(FOLDER / "smoke.toml")
    assert isinstance(recipe, Recipe)
    assert [*recipe.reasoning, *recipe.open_domains] == list(recipe.domains) == ["arithmetic", "code", "chat"]


def _without_file(got: str) -> str:
    return got.rpartition(" (")[0]


def _refusal(tmp_path: Path, text: str) -> UserError:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_recipe(path)
    return caught.value


def _changed(old: str, new: str, *, text: str = SMOKE) -> str:
    assert len(re.findall(old, text, flags=re.MULTILINE)) == 1, f"`{old}` must name one place"
    return re.sub(old, new, text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("old", "new", "unknown", "nearest"),
    [
        ("^threads", "thread", "`thread`", "`threads`"),
        (r"^\[evaluation\]$", "[evaluations]", "`evaluations`", "`evaluation`"),
        ("^keep", "kep", "`rejection.kep`", "`keep`"),
        (r"^\[expert.grpo\]$", "[expert.grpo]\npromts = 3", "`expert.grpo.promts`", "`prompts`"),
        (r"train = 24, test", "train = 24, tests", "`domains.chat.tests`", "`test`"),
    ],
    ids=["top level", "table", "key", "nested", "domain"],
)
def test_unknown_key_names_the_nearest_valid_one(tmp_path, old, new, unknown, nearest):
    error = _refusal(tmp_path, _changed(old, new))
    assert error.rule == f"unknown key {unknown}"
    assert error.remedy.startswith(f"did you mean {nearest}?")


@pytest.mark.parametrize(
    "text",
    [
        _changed("^code =", "coding ="),
        _changed("code = 30000", "coding = 30000", text=TINY_BASE),
    ],
    ids=["post-training", "base"],
)
def test_unknown_domain_is_refused_with_those_that_exist(tmp_path, text):
    error = _refusal(tmp_path, text)
    assert "coding" in error.got
    assert ", ".join(DOMAINS) in error.remedy


def test_fewer_test_problems_than_the_evaluation_asks_for_are_refused(tmp_path):
    error = _refusal(tmp_path, _changed("train = 24, test = 4", "train = 24, test = 3"))
    assert _without_file(error.got) == "domains.chat.test = 3, evaluation.problems = 4"
    assert "raise domains.chat.test or lower evaluation.problems" in error.remedy


def test_recipe_without_a_reasoning_domain_is_refused(tmp_path):
    error = _refusal(tmp_path, re.sub(r"^(arithmetic|code) = .*\n", "", SMOKE, flags=re.MULTILINE))
    assert _without_file(error.got) == "domains ['chat']"
    assert "arithmetic, code, logic" in error.remedy


@pytest.mark.parametrize(
    ("new", "rule"),
    [("[]", "`seeds` must have a length of at least 1"), ("[3, 1, 3]", "a seed twice is the same run twice")],
    ids=["none", "twice"],
)
def test_seeds_are_some_and_distinct(tmp_path, new, rule):
    assert rule in _refusal(tmp_path, _changed(r"^seeds = \[0\]$", f"seeds = {new}")).rule


@pytest.mark.parametrize("name", ["../elsewhere", "Smoke", "", "a b"])
def test_name_of_a_run_is_one_plain_folder_name(tmp_path, name):
    assert _refusal(tmp_path, _changed('^name = "smoke"$', f'name = "{name}"')).rule.startswith("`name`")


@pytest.mark.parametrize("kind", ['"postraining"', "3", '["base"]'])
def test_unknown_kind_is_refused_with_those_that_exist(tmp_path, kind):
    error = _refusal(tmp_path, _changed('^kind = "post-training"$', f"kind = {kind}"))
    assert error.remedy == "use one of post-training, rl, base, sft, preference, reward-model, grpo, distillation"


@pytest.mark.parametrize("text", ["", "kind = 'base", "domains = 3"], ids=["empty", "no TOML", "no table"])
def test_what_is_no_recipe_at_all_is_refused(tmp_path, text):
    assert str(tmp_path) in str(_refusal(tmp_path, text))


def test_recipe_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="must be a file"):
        load_recipe(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "got"),
    [
        (
            re.sub(r"^\[reward_model\]\n.*?(?=^\[grpo\])", "", SMOKE, flags=re.MULTILINE | re.DOTALL),
            "chat with neither",
        ),
        (SMOKE + '[judge]\nkind = "self"\n', "chat with both"),
    ],
    ids=["neither", "both"],
)
def test_open_domains_have_a_scalar_reward_model_or_a_judge(tmp_path, text, got):
    assert _without_file(_refusal(tmp_path, text).got) == got


def test_unknown_reward_is_refused_with_those_that_exist(tmp_path):
    error = _refusal(
        tmp_path, _changed(r"^\[expert.grpo\]$", "[expert.grpo.rewards.politeness]\nweight = 1.0\n[expert.grpo]")
    )
    assert error.rule == "unknown key `expert.grpo.rewards.politeness`"
    assert error.remedy.endswith("correct, floor, format, judge, language, length, model, own, repetition")


def test_people_review_open_domains_only(tmp_path):
    for name in ("arithmetic", "nowhere"):
        refusal = _refusal(tmp_path, f"{SMOKE}\n[review.{name}]\nshare = 0.5\n")
        assert refusal.rule == "people review the open domains of a recipe"
        assert f"`review.{name}`" in refusal.got
    refusal = _refusal(tmp_path, f"{SMOKE}\n[review.chat]\nshares = 0.5\n")
    assert refusal.rule == "unknown key `review.chat.shares`"


TEACHER = (FOLDER / "teacher.toml").read_text()


def test_families_and_sources_are_reasoning_domains():
    recipe = load_recipe(FOLDER / "teacher.toml")
    assert isinstance(recipe, Recipe)
    assert recipe.names == ["arithmetic", "chat", "sums"]
    assert (recipe.reasoning, recipe.open_domains) == (["arithmetic", "sums"], ["chat"])


SOURCE = """
[sources.{name}]
path = "problems.jsonl"
licence = "MIT"
verifier = "maths"
columns = {{ answer = "answer" }}
train = 9
test = {test}
"""


def test_families_and_sources_need_a_teacher(tmp_path):
    error = _refusal(tmp_path, SMOKE + SOURCE.format(name="mine", test=9))
    assert _without_file(error.got) == "mine, and no [teacher]"


@pytest.mark.parametrize("name", ["sums", "code"])
def test_a_name_stands_for_one_domain(tmp_path, name):
    error = _refusal(tmp_path, TEACHER + SOURCE.format(name=name, test=9))
    assert _without_file(error.got) == f"{name} twice"


def test_a_source_needs_as_many_tests_as_the_evaluation(tmp_path):
    error = _refusal(tmp_path, TEACHER + SOURCE.format(name="mine", test=1))
    assert _without_file(error.got) == "sources.mine.test = 1, evaluation.problems = 4"


@pytest.mark.parametrize("name", ["quickstart", "smoke"])
def test_a_shipped_recipe_is_the_one_of_the_checkout(name):
    assert shipped_recipe(name) == FOLDER / f"{name}.toml"
    assert isinstance(load_recipe(shipped_recipe(name)), Recipe)
