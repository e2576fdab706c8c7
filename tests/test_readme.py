"""The README in both languages: they say the same, what they show runs, the picture has the stages of the recipe."""

import ast
import json
import re
import shlex
import shutil
import xml.etree.ElementTree
from collections import Counter
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import afterbase as ab
from afterbase.cli.main import app
from afterbase.core.store import Store
from afterbase.recipe import Recipe, load_recipe
from afterbase.run import post_train
from afterbase.run_seed import Seed

ROOT = Path(__file__).parent.parent
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "README.zh.md")}
ENGLISH, CHINESE = PAGES.values()

# The one-line trainings of the README, as short as they can be.
SHORTEST = {
    "sft": ["epochs=1"],
    "dpo": ["epochs=1"],
    "kto": ["epochs=1"],
    "reward": ["epochs=1"],
    "grpo": ["steps=1", "prompts=2", "samples=2", "max_new_tokens=4"],
    "distill": ["epochs=1"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty working folder; a run sets torch's threads for its process, and they are given back."""
    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    torch.set_num_threads(threads)


def shell(page: str) -> list[str]:
    """The lines of indented blocks, without comments and spaces behind them."""
    return [line.partition("  #")[0].strip() for line in re.findall(r"^ {4}(\S.*)$", prose(page), flags=re.MULTILINE)]


def prose(page: str) -> str:
    """The page without its Python."""
    return re.sub(r"^```python\n.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def python(page: str) -> str:
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    return block


def links(page: str) -> Counter[str]:
    """Where the links lead; that to the other language counts as one and the same."""
    return Counter(re.sub(r"^README(\.zh)?\.md$", "README", link) for link in re.findall(r"\]\(([^)]+)\)", page))


def numbers(page: str) -> Counter[str]:
    """The numbers of prose and tables, without those within names, links and code."""
    plain = re.sub(r"\]\([^)]+\)|`[^`]*`", "", prose(page))
    return Counter(re.findall(r"(?<![\w.-])\d[\d,]*(?:\.\d+)*", plain))


def test_both_languages_show_the_same_commands():
    assert shell(ENGLISH) == shell(CHINESE)
    english, chinese = (Counter(re.findall(r"`([^`\n]+)`", prose(page))) for page in (ENGLISH, CHINESE))
    assert english == chinese


def test_both_languages_show_the_same_python():
    assert ast.dump(ast.parse(python(ENGLISH))) == ast.dump(ast.parse(python(CHINESE)))


def test_both_languages_have_the_same_links():
    assert links(ENGLISH) == links(CHINESE)


def test_both_languages_have_the_same_numbers():
    assert numbers(ENGLISH) == numbers(CHINESE)
    assert {"14.3", "1,080", "0.1.0"} <= set(numbers(ENGLISH))


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_it_is_read_in_a_screen_and_a_half(page: str):
    assert len(page.splitlines()) <= 100


def test_the_numbers_of_the_study_are_those_of_the_page_of_results():
    results = (ROOT / "docs/results.md").read_text()
    measured = re.findall(r"\+\d+\.\d \([\d.]+ to [\d.]+\)", ENGLISH)
    assert len(measured) == 3
    assert [number for number in measured if number not in results] == []


def test_the_picture_has_the_stages_of_the_quickstart(tmp_path: Path):
    picture = xml.etree.ElementTree.parse(ROOT / "docs/pipeline.svg")
    named = [node.text for node in picture.iter() if node.get("class") == "name"]
    assert named[0] == "base model"
    recipe = load_recipe(ROOT / "recipes/quickstart.toml")
    assert isinstance(recipe, Recipe)
    store = Store(tmp_path, plan_only=True)
    post_train(Seed(store, recipe, 0))
    stages = {record.name for record in store.stages}
    stages |= {re.sub(f"^({'|'.join(recipe.names)}) ", "", stage) for stage in stages} | {"evaluate", "report"}
    assert "evaluate GRPO on code" in stages
    domains = {", ".join(recipe.reasoning), *recipe.open_domains}
    assert set(named) - stages == domains


def test_commands_of_the_readme_run_on_the_rows_beside_it(folder: Path):
    lines = [shlex.split(line)[1:] for line in shell(ENGLISH) if re.match(r"afterbase \S+ .*\.jsonl", line)]
    assert {words[0] for words in lines} == {*SHORTEST, "eval"}
    for file in (path for path in (ROOT / "examples/rows").iterdir() if path.is_file()):
        shutil.copy(file, folder)
    for words in lines:
        settings = [f"--set={setting}" for setting in SHORTEST.get(words[0], [])]
        done = CliRunner().invoke(app, [*words, *settings, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout.splitlines()[-1])
        if "--out" in words:
            assert (folder / words[words.index("--out") + 1] / "model.safetensors").is_file()
        else:
            assert told["questions"]["n"] == 100


def test_the_python_of_the_readme_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    grpo = ab.grpo
    monkeypatch.setattr(ab, "grpo", lambda *a, settings, **k: grpo(*a, settings={**settings, "steps": 2}, **k))
    exec(compile(python(ENGLISH), "README.md", "exec"), {})
    rewards = ast.literal_eval(capsys.readouterr().out.splitlines()[-1])
    assert len(rewards) == 2
    assert all(0 <= reward <= 1 for reward in rewards)
