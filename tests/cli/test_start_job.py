"""One training as one call, on a toy model: what it chooses, writes down, repeats and refuses."""

import json
import tomllib
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import afterbase as ab
from afterbase.cli import run_recipe
from afterbase.core.errors import UserError


@pytest.fixture(autouse=True)
def _threads():
    """A run sets torch's threads for its process; give them back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]})
            + "\n"
            for n in range(12)
        )
    )
    return path


def _sft(toy_folder: Path, rows: Path, tmp_path: Path, out: str = "out", **settings) -> ab.Trained:
    said = {"threads": 1, "epochs": 2, **settings}
    return ab.sft(toy_folder, rows, out=tmp_path / out, root=tmp_path, settings=said)


def test_a_model_is_left_that_others_load_and_that_has_learnt(toy_folder, rows, tmp_path, capsys):
    trained = _sft(toy_folder, rows, tmp_path, learning_rate=1e-2)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.model_type == "deepseek_v3"
    summary = trained.summary()
    assert list(summary) == ["model", "steps", "first_loss", "last_loss", "seconds"]
    assert summary["last_loss"] < summary["first_loss"]
    assert summary["steps"] == len(trained.metrics) > 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "device: cpu, 1 thread"
    assert [line.split(":")[0] for line in lines[1:5]] == ["base", "data", "learning rate", "steps"]
    assert lines[-1] == f"model: {tmp_path / 'out'}"


def test_the_recipe_that_is_left_repeats_the_run(toy_folder, rows, tmp_path):
    _sft(toy_folder, rows, tmp_path)
    run_recipe.run(tmp_path / "out/recipe.toml", tmp_path)
    stages = json.loads((tmp_path / "runs/out/run.json").read_text())["stages"]
    assert [stage["stage"] for stage in stages] == ["base", "own_samples", "sft"]
    assert all(stage["cached"] for stage in stages)


def test_later_sayings_win(toy_folder, rows, tmp_path):
    (tmp_path / "settings.toml").write_text("threads = 1\n[sft]\nepochs = 3\nrow_tokens = 128\n")
    ab.sft(
        toy_folder, rows, out=tmp_path / "out", root=tmp_path, recipe=tmp_path / "settings.toml", seed=7, lora=True,
        trained="last", settings={"epochs": 1, "sft": {"lora": {"rank": 2}}},
    )  # fmt: skip
    recipe = tomllib.loads((tmp_path / "out/recipe.toml").read_text())
    assert (recipe["sft"]["epochs"], recipe["sft"]["row_tokens"], recipe["sft"]["lora"]) == (1, 128, {"rank": 2})
    assert (recipe["seeds"], recipe["data"]["trained"]) == ([7], "last")


def test_a_folder_of_another_training_is_refused(toy_folder, rows, tmp_path):
    _sft(toy_folder, rows, tmp_path)
    with pytest.raises(UserError, match="a folder holds the model of one training") as caught:
        _sft(toy_folder, rows, tmp_path, epochs=1)
    assert "`sft`" in caught.value.got
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="thesis"):
        _sft(toy_folder, rows, tmp_path, "full")


def test_a_misspelt_setting_names_the_nearest_before_anything_is_made(toy_folder, rows, tmp_path):
    with pytest.raises(UserError) as caught:
        _sft(toy_folder, rows, tmp_path, epoch=1)
    assert caught.value.rule == "unknown key `sft.epoch`"
    assert "did you mean `epochs`?" in caught.value.remedy
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("text", ["", "{]\n", '{"messages": [{"role": "user", "content": "a"}]}\n' * 3])
def test_faulty_rows_are_refused_before_training(toy_folder, tmp_path, text):
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(UserError):
        _sft(toy_folder, tmp_path / "rows.jsonl", tmp_path)
    assert not (tmp_path / "out").exists()
