"""What `afterbase plan` prints, of a recipe that is new, partly made, and finished."""

import re
from pathlib import Path

import pytest
import torch

from afterbase.cli import start_run
from afterbase.cli.recipes.plan_recipe import plan
from afterbase.recipe import shipped_recipe

RECIPE = """
kind = "sft"
name = "toy"
base = "tiny-v3"
threads = 1
data = { files = ["rows.jsonl"] }
[sft]
epochs = 1
row_tokens = 64
optimisation = { learning_rate = 1e-3 }
"""


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    """A recipe and its rows in the working directory; torch's threads are given back."""
    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(f'{{"prompt": "{n}?", "completion": "{n}!"}}\n' for n in range(8)))
    Path("toy.toml").write_text(RECIPE)
    yield
    torch.set_num_threads(threads)


def told(capsys: pytest.CaptureFixture[str], path: Path = Path("toy.toml")) -> tuple[dict[str, str], list[str]]:
    """Stages of the printed plan with their minutes, and the lines around the table."""
    capsys.readouterr()
    plan(path, Path("root"))
    lines = capsys.readouterr().out.splitlines()
    rows = [re.fullmatch(r" *\d+ .* (cached|~?\d+\.\d)  (\S.*?)(?: <- [\d, ]+)? *", line) for line in lines]
    return (
        {row[2]: row[1] for row in rows if row is not None},
        [line for line, row in zip(lines, rows, strict=True) if row is None],
    )


def test_a_new_recipe_is_planned_and_only_its_rows_are_read(capsys):
    stages, lines = told(capsys)
    assert list(stages) == ["base model", "data", "SFT"]
    assert stages["SFT"].startswith("~")
    assert lines[0].startswith("data: 8 rows of rows.jsonl can be read")
    assert "plan of toy" in lines
    assert not Path("root/runs").exists()
    made = [path.parent.name for path in Path("root/store").glob("*/manifest.json")]
    assert len(made) == 1, "the rows, which decide what training takes"


def test_a_finished_run_has_nothing_to_run_and_other_settings_have(capsys):
    start_run.run(Path("toy.toml"), Path("root"))
    stages, lines = told(capsys)
    assert stages == dict.fromkeys(("base model", "data", "SFT"), "cached")
    assert "all 3 stages are cached: nothing to run." in lines
    Path("toy.toml").write_text(RECIPE.replace("epochs = 1", "epochs = 2"))
    stages, lines = told(capsys)
    assert [name for name, minutes in stages.items() if minutes != "cached"] == ["SFT"]
    assert any(line.startswith("3 stages, 2 cached; about ") for line in lines)


def test_several_processes_share_the_work(micro, capsys):
    micro.write_text(micro.read_text().replace("threads = 1", "threads = 1\nprocesses = 2"))
    _, lines = told(capsys, micro)
    assert any(line.endswith("minutes to run, shared by up to 2 processes.") for line in lines)


def test_a_base_is_planned_too(capsys):
    stages, _ = told(capsys, shipped_recipe("tiny-base"))
    assert stages.keys() >= {"corpus", "tokenizer", "base", "base model facts"}
    assert float(stages["first phase"][1:]) > float(stages["control, balanced"][1:]) > 0
