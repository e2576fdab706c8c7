"""What would fail late, for want of files or isolation, is refused before anything is made, and all of it at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from afterbase.cli import run_recipe
from afterbase.cli.recipes import plan_recipe, preflight
from afterbase.core.errors import UserError, UserErrors
from afterbase.sandbox import remote

RECIPES = Path(__file__).parents[3] / "recipes"


def _recipe(name: str, base: Path, tmp_path: Path, **changes: str) -> Path:
    text = (RECIPES / name).read_text().replace('"tiny-v3"', f'"{base}"')
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / name
    path.write_text(text)
    return path


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


SOURCES = """
[sources.sums]
path = "nowhere.jsonl"
verifier = "maths"
train = 4
test = 48
[sources.more]
path = "{table}"
columns = {{ prompt = "questoin" }}
verifier = "maths"
train = 4
test = 48
"""


def _broken(tmp_path: Path) -> Path:
    table = tmp_path / "table.jsonl"
    table.write_text('{"question": "1 + 1", "answer": "2"}\n')
    text = (RECIPES / "rl.toml").read_text().replace('"tiny-v3"', '"no-such-model"')
    path = tmp_path / "broken.toml"
    path.write_text(text[: text.index("[sft]")] + SOURCES.format(table=table) + text[text.index("[grpo]") :])
    return path


@pytest.mark.parametrize("command", [run_recipe.run, plan_recipe.plan])
def test_a_missing_model_a_missing_table_and_a_misspelt_column_are_told_at_once(command, tmp_path):
    with pytest.raises(UserErrors) as caught:
        command(_broken(tmp_path), tmp_path / "root")
    model, absent, column = caught.value.errors
    assert "no-such-model" in model.got
    assert "nowhere.jsonl" in absent.got
    assert column.remedy == "did you mean `question`?"
    assert not (tmp_path / "root/store").exists()


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("mistake", ["a key", "a file"])
def test_a_broken_recipe_is_answered_without_what_trains(command, mistake, tmp_path):
    path = _broken(tmp_path)
    if mistake == "a key":
        path.write_text(path.read_text() + "\nzzz = 3\n")
    program = (
        "import sys; from pathlib import Path\n"
        "from afterbase.cli import runs; from afterbase.core.errors import UserError\n"
        f"try: runs.{command}(Path({str(path)!r}), Path({str(tmp_path / 'root')!r}))\n"
        "except UserError: print('refused', *[name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_what_was_read_of_a_table_is_told(toy_folder, tmp_path, capsys):
    table = tmp_path / "table.jsonl"
    path = _broken(tmp_path)
    text = path.read_text().replace('"no-such-model"', json.dumps(str(toy_folder))).replace("questoin", "question")
    text = text.replace("nowhere.jsonl", str(table)).replace("test = 48", "test = 4")
    table.write_text("".join(f'{{"question": "{a} + 1", "answer": "{a + 1}"}}\n' for a in range(80)))
    path.write_text(text.replace("problems = 48", "problems = 4"))
    plan_recipe.plan(path, tmp_path / "root")
    assert f"sums: all 80 rows of {table} can be read." in capsys.readouterr().out


def test_problems_without_a_verifier_need_further_rules(toy_folder, tmp_path):
    (tmp_path / "t.jsonl").write_text("".join(f'{{"prompt": "{n}?"}}\n' for n in range(400)))
    source = f'[sources.own]\npath = "{tmp_path}/t.jsonl"\nverifier = "none"\ntrain = 4\ntest = 48\n'
    text = (RECIPES / "rl.toml").read_text().replace('"tiny-v3"', json.dumps(str(toy_folder)))
    text = text[: text.index("[domains]")] + source + text[text.index("[grpo]") :]
    path = tmp_path / "bare.toml"
    path.write_text(text)
    with pytest.raises(UserError, match="rewarded by further rules") as caught:
        plan_recipe.plan(path, tmp_path / "root")
    assert caught.value.got == "verifier = none in own"
    path.write_text(
        text.replace("[grpo]", "[grpo.rewards.repetition]\nweight = 1.0\n[grpo]", 1).replace(
            "length_weight = 0.1\n", ""
        )
    )
    plan_recipe.plan(path, tmp_path / "root")


def test_a_function_of_ones_own_that_cannot_be_loaded_is_refused(toy_folder, tmp_path):
    (tmp_path / "mine.py").write_text("import nowhere_at_all\ndef score(response): return 1.0\n")
    (tmp_path / "t.jsonl").write_text("".join(f'{{"prompt": "{n}?"}}\n' for n in range(400)))
    source = (
        f'[sources.own]\npath = "{tmp_path}/t.jsonl"\nverifier = "{tmp_path}/mine.py:score"\ntrain = 4\ntest = 48\n'
    )
    text = (RECIPES / "rl.toml").read_text().replace('"tiny-v3"', json.dumps(str(toy_folder)))
    text = text[: text.index("[domains]")] + source + text[text.index("[grpo]") :]
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(UserError, match="one's own reward can be loaded") as caught:
        plan_recipe.plan(path, tmp_path / "root")
    assert "No module named 'nowhere_at_all'" in caught.value.got


def _own(tmp_path: Path, base: Path, *rows: dict[str, str], extra: str = "") -> Path:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "own.toml"
    path.write_text(
        f'kind = "sft"\nname = "own"\nbase = "{base}"\n{extra}[data]\nfiles = ["{tmp_path / "rows.jsonl"}"]\n'
        "[sft.optimisation]\nlearning_rate = 1e-3\n"
    )
    return path


def test_rows_of_ones_own_are_looked_at_and_what_was_read_is_told(toy_folder, tmp_path, capsys):
    rows = [{"prompt": f"{a} + 1", "completion": str(a + 1)} for a in range(5)]
    path = _own(tmp_path, toy_folder, *rows, {"prompt": "9 + 1", "completion": ""}, extra="threads = 1\n")
    plan_recipe.plan(path, tmp_path / "root")
    told = capsys.readouterr().out
    assert f"data: 6 rows of {tmp_path / 'rows.jsonl'} can be read (prompt_completion), 1 of them left out" in told


def test_a_misspelt_column_of_ones_own_rows_is_told_beside_a_missing_model(tmp_path):
    path = _own(tmp_path, tmp_path / "nowhere", {"promt": "1 + 1", "completion": "2"})
    with pytest.raises(UserErrors) as caught:
        plan_recipe.plan(path, tmp_path / "root")
    model, column = caught.value.errors
    assert "nowhere" in model.got
    assert "did you mean `prompt`?" in column.remedy


EXTRAS = """
[cleaning.workers]
ray = "local"
[review.chat]
share = 0.5
[teacher]
cache = "postgresql://me@db/answers"
[teacher.endpoint]
url = "http://127.0.0.1:9/v1"
model = "m"
[sources.notes]
path = "{table}"
verifier = "ifeval"
columns = {{ instructions = "told" }}
train = 4
test = 4
"""


def test_all_extras_that_a_recipe_needs_are_told_before_anything_is_made(tmp_path, monkeypatch):
    for module in ("sqlalchemy", "psycopg", "nltk", "peft", "ray"):
        monkeypatch.setitem(sys.modules, module, None)
    table = tmp_path / "table.jsonl"
    told = [{"id": "punctuation:no_comma", "kwargs": {}}]
    table.write_text("".join(json.dumps({"prompt": f"{n}?", "told": told}) + "\n" for n in range(99)))
    path = tmp_path / "extras.toml"
    text = (RECIPES / "smoke.toml").read_text().replace("[sft]\n", "[sft]\nlora = {}\n")
    path.write_text(text + EXTRAS.format(table=table))
    with pytest.raises(UserErrors) as caught:
        run_recipe.run(path, tmp_path / "root")
    remedies = "\n".join(error.remedy for error in caught.value.errors)
    for extra in ("review", "postgres", "ifeval", "lora", "ray"):
        assert f"pip install 'afterbase[{extra}]'" in remedies
    assert not (tmp_path / "root/store").exists()
