"""One training as one call, on a toy model: what it chooses, writes down, repeats and refuses."""

import json
import re
import tomllib
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import afterbase as ab
from afterbase.cli import run_recipe, runs, start_job
from afterbase.core import hub
from afterbase.core.errors import UserError
from afterbase.train.sft import train_sft


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
    assert [line.split(":")[0] for line in lines[1:5]] == ["base", "data", "learning rate", "each step"]
    out, report = tmp_path / "out", tmp_path / "runs/out/report.html"
    assert lines[-3:] == [f"model: {out}", f"report: {report}", f"talk to it: afterbase chat {out}"]
    assert [line for line in lines if line.startswith("loss in training: ")]


def test_the_recipe_that_is_left_repeats_the_run(toy_folder, rows, tmp_path):
    _sft(toy_folder, rows, tmp_path)
    run_recipe.run(tmp_path / "out/recipe.toml", tmp_path)
    stages = json.loads((tmp_path / "runs/out/run.json").read_text())["stages"]
    assert [stage["stage"] for stage in stages] == ["base", "own_samples", "sft"]
    assert all(stage["cached"] for stage in stages)


def test_more_epochs_make_the_training_anew_and_the_run_says_why(toy_folder, rows, tmp_path, capsys):
    _sft(toy_folder, rows, tmp_path)
    assert "made anew" not in capsys.readouterr().out
    _sft(toy_folder, rows, tmp_path, out="longer", epochs=3)
    [told] = [line for line in capsys.readouterr().out.splitlines() if "made anew" in line]
    assert told.startswith("SFT: epochs 2 -> 3")
    assert told.endswith(": made anew, as the cosine schedule spans all steps.")


def test_later_sayings_win(toy_folder, rows, tmp_path):
    (tmp_path / "settings.toml").write_text("threads = 1\n[sft]\nepochs = 3\nrow_tokens = 128\n")
    ab.sft(
        toy_folder, rows, out=tmp_path / "out", root=tmp_path, recipe=tmp_path / "settings.toml", seed=7, lora=True,
        trained="last", settings={"epochs": 1, "sft": {"lora": {"rank": 2}}},
    )  # fmt: skip
    recipe = tomllib.loads((tmp_path / "out/recipe.toml").read_text())
    assert (recipe["sft"]["epochs"], recipe["sft"]["row_tokens"], recipe["sft"]["lora"]) == (1, 128, {"rank": 2})
    assert (recipe["seeds"], recipe["data"]["trained"]) == ([7], "last")


PAIRS = [{"prompt": f"{n}?", "chosen": f"{n}!", "rejected": f"{n + 1}?"} for n in range(8)]
LABELLED = [{"prompt": f"{n}?", "completion": f"{n}!", "label": n % 2 == 0} for n in range(8)]
PROBLEMS = [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(8)]


def _odd(*, response: str, **context: object) -> float:
    return float(len(response) % 2)


@pytest.mark.parametrize(
    ("train", "rows", "settings", "stage"),
    [
        (ab.dpo, PAIRS, {"epochs": 1}, "dpo"),
        (partial(ab.dpo, loss="ipo"), PAIRS, {"epochs": 1, "lora.targets": "attention"}, "dpo"),
        (ab.kto, LABELLED, {"epochs": 1}, "kto"),
        (ab.reward, PAIRS, {"epochs": 1}, "reward_model"),
        (partial(ab.grpo, reward=_odd), PROBLEMS, {"max_new_tokens": 8, "steps": 2, "probe_groups": 0}, "grpo"),
        (partial(ab.grpo, reward=["maths", "format=0.5"]), PROBLEMS,
         {"max_new_tokens": 8, "steps": 1, "probe_groups": 0}, "grpo"),
    ],
    ids=["dpo", "ipo with lora", "kto", "reward", "grpo", "grpo with rules"],
)  # fmt: skip
def test_each_training_goes_on_rows_in_memory_and_is_repeated_by_its_recipe(
    toy_folder, tmp_path, train, rows, settings, stage
):
    said = {"threads": 1, **settings}
    trained = train(toy_folder, rows, out=tmp_path / "out", root=tmp_path, settings=said)
    assert trained.steps >= 1
    assert (tmp_path / "out/model.safetensors").is_file()
    run_recipe.run(tmp_path / "out/recipe.toml", tmp_path)
    stages = json.loads((tmp_path / "runs/out/run.json").read_text())["stages"]
    assert stages[-1]["stage"] == stage
    assert all(made["cached"] for made in stages)


def test_a_student_learns_from_a_teachers_answers(toy_folder, rows, tmp_path):
    # A teacher that has learnt to end its answers.
    teacher = _sft(toy_folder, rows, tmp_path, "teacher", learning_rate=1e-2, epochs=30).model
    prompts = [{"prompt": f"{n}?"} for n in range(12)]
    settings = {"threads": 1, "epochs": 1, "teacher.temperature": 0.0, "teacher.max_new_tokens": 16}
    trained = ab.distill(
        toy_folder, prompts, teacher=teacher, out=tmp_path / "student", root=tmp_path, settings=settings
    )
    assert trained.steps >= 1
    assert json.loads((tmp_path / "runs/student/run.json").read_text())["flow"][0]["kept"] >= 1


def test_which_turns_are_learnt_is_a_choice_of_fine_tuning_alone(toy_folder, tmp_path):
    for train, rows in (
        (ab.dpo, PAIRS),
        (ab.kto, LABELLED),
        (ab.reward, PAIRS),
        (partial(ab.grpo, reward=_odd), PROBLEMS),
    ):
        with pytest.raises(UserError, match="a choice of fine-tuning alone") as caught:
            train(toy_folder, rows, out=tmp_path / "out", root=tmp_path, trained="last")
        assert caught.value.got.startswith("`trained` = last")
        assert "leave it out" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_the_choice_holds_for_the_rows_to_measure_on_too(toy_folder, rows, tmp_path):
    ab.sft(
        toy_folder, rows, out=tmp_path / "out", root=tmp_path, eval=rows, trained="last",
        settings={"threads": 1, "epochs": 1},
    )  # fmt: skip
    data = tomllib.loads((tmp_path / "out/recipe.toml").read_text())["data"]
    assert (data["trained"], data["eval"]["trained"]) == ("last", "last")


BROKEN = {
    "a lost weight": (lambda folder: _without(folder, "lm_head.weight"), "every weight of its model"),
    "no tokenizer": (lambda folder: [file.unlink() for file in folder.glob("token*")], "has its tokenizer"),
    "an encoder": (lambda folder: _config(folder, model_type="bert"), "decoder-only"),
    "a small vocabulary": (lambda folder: _cut(folder, "model.embed_tokens.weight", "lm_head.weight"), "an embedding"),
}


def _config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _without(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _cut(folder: Path, *names: str) -> None:
    weights = load_file(folder / "model.safetensors")
    rows = len(weights[names[0]]) - 9
    save_file(
        {name: tensor[:rows].clone() if tensor.shape[:1] == weights[names[0]].shape[:1] and name in names else tensor
         for name, tensor in weights.items()},
        folder / "model.safetensors", metadata={"format": "pt"},
    )  # fmt: skip
    _config(folder, vocab_size=rows)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_model_that_cannot_be_trained_is_told_by_the_users_name_before_it_is_copied(
    toy_folder, rows, tmp_path, fault
):
    breaks, rule = BROKEN[fault]
    breaks(toy_folder)
    with pytest.raises(UserError, match=rule) as caught:
        _sft(toy_folder, rows, tmp_path, epochs=1)
    told = str(caught.value)
    assert str(toy_folder) in told or "`bert`" in told
    assert "store" not in told
    assert not [p for p in tmp_path.glob("store/*/manifest.json") if json.loads(p.read_text())["stage"] == "base"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("train", "one"), [(ab.dpo, PAIRS[0]), (ab.reward, PAIRS[0]), (ab.kto, LABELLED[0])])
def test_preferences_over_one_prompt_are_refused_before_the_model_is_copied(toy_folder, tmp_path, train, one):
    with pytest.raises(UserError, match="rows of other prompts") as caught:
        train(toy_folder, [one] * 5, out=tmp_path / "out", root=tmp_path)
    assert caught.value.got.startswith("5 rows over 1 prompt")
    made = {json.loads(path.read_text())["stage"] for path in tmp_path.glob("store/*/manifest.json")}
    assert made <= {"own_pairs", "own_answers"}


def test_an_option_that_there_is_not_is_refused(toy_folder, rows, tmp_path):
    with pytest.raises(UserError, match="the options that it names") as caught:
        ab.sft(toy_folder, rows, out=tmp_path / "out", root=tmp_path, chat_templat="chatml")  # pyright: ignore
    assert caught.value.remedy.startswith("did you mean `chat_template`?")


@pytest.mark.parametrize("odd", [{"prompt": "1?", "completion": "2"}, {"train": [1]}])
def test_rows_that_are_no_list_are_refused(toy_folder, tmp_path, odd):
    with pytest.raises(UserError, match="a list of dictionaries"):
        ab.sft(toy_folder, odd, out=tmp_path / "out", root=tmp_path)


def test_settings_that_are_no_table_or_not_of_toml_are_told(toy_folder, rows, tmp_path):
    for settings in ({"sft": 3}, {"data": 3}, {"sft": 3, "seeds": [1]}):
        with pytest.raises(UserError, match="must be a table"):
            ab.sft(toy_folder, rows, out=tmp_path / "out", root=tmp_path, settings=settings)
    with pytest.raises(UserError, match="what TOML can say"):
        ab.sft(toy_folder, rows, out=tmp_path / "out", root=tmp_path, settings={"epochs": object()})


def test_an_endpoint_without_a_models_name_is_refused(toy_folder, tmp_path):
    with pytest.raises(UserError, match="an endpoint has a model's name"):
        ab.distill(toy_folder, [{"prompt": "?"}], teacher="http://localhost:1/v1", out=tmp_path / "student")


def test_held_out_rows_are_measured_while_it_trains(toy_folder, rows, tmp_path):
    measured = [{"prompt": "99?", "completion": "99!"}]
    trained = ab.sft(
        toy_folder, rows, out=tmp_path / "out", root=tmp_path, eval=measured, eval_every=2, settings={"threads": 1}
    )
    assert next(row["step"] for row in trained.metrics if "held_out_loss" in row) == 2


def test_a_folder_of_another_training_is_refused(toy_folder, rows, tmp_path):
    _sft(toy_folder, rows, tmp_path)
    with pytest.raises(UserError, match="a folder holds the model of one training") as caught:
        _sft(toy_folder, rows, tmp_path, epochs=1)
    assert "`sft`" in caught.value.got
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="thesis"):
        _sft(toy_folder, rows, tmp_path, "full")


def test_rows_that_are_left_out_and_columns_that_are_not_read_are_told(toy_folder, rows, tmp_path, capsys):
    told = {"role": "user", "content": "a " * 2000}
    with rows.open("a") as file:
        file.write(json.dumps({"messages": [told, {"role": "assistant", "content": "b"}], "mood": "calm"}) + "\n")
    _sft(toy_folder, rows, tmp_path, epochs=1)
    printed = capsys.readouterr().out
    assert "not read: mood" in printed
    assert "SFT: 1 left out; the first, " in printed
    assert ": too long (" in printed


@pytest.mark.parametrize("key", ["base", "kind", "name"])
def test_what_follows_from_the_command_is_no_setting(toy_folder, rows, tmp_path, key):
    with pytest.raises(UserError, match="no settings") as refused:
        _sft(toy_folder, rows, tmp_path, **{key: "other"})
    assert refused.value.got == f"`{key}` = other"
    assert not (tmp_path / "store").exists()


def test_a_root_that_cannot_be_made_is_refused(toy_folder, rows, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a folder of its own"):
        ab.sft(toy_folder, rows, out=tmp_path / "out", root=tmp_path / "file/root", settings={"threads": 1})


def test_runs_of_different_folders_have_different_names(tmp_path):
    names = [start_job._run_name(tmp_path / folder, tmp_path) for folder in ("ä", "ö", "a ö", "a ü", "model", "My/Out")]
    assert len({*names}) == len(names)
    assert names[-2:] == ["model", "my-out"]
    assert all(re.fullmatch("[a-z0-9][a-z0-9_-]*", name) for name in names)


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


def test_a_run_that_stops_early_leaves_a_report_of_what_is_there(toy_folder, rows, tmp_path, capsys):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"prompt": "?", "completion": "long " * 400}) + "\n")
    with pytest.raises(UserError, match="at least one token that bears loss"):
        _sft(toy_folder, path, tmp_path, row_tokens=64)
    summary = json.loads((tmp_path / "runs/out/run.json").read_text())
    assert [stage["stage"] for stage in summary["stages"]] == ["base", "own_samples"]
    assert summary["unfinished"] == "supervised fine-tuning needs at least one token that bears loss"
    assert summary["model_folder"] is None
    assert "stopped early" in (tmp_path / "runs/out/report.html").read_text()
    assert "report of what is there" in capsys.readouterr().err


def test_a_run_that_is_interrupted_says_so_in_its_report(toy_folder, rows, tmp_path, monkeypatch):
    def interrupted(store, *arguments, **options):
        if store.plan_only:
            return train_sft(store, *arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr("afterbase.run_jobs.train_sft", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _sft(toy_folder, rows, tmp_path)
    assert json.loads((tmp_path / "runs/out/run.json").read_text())["unfinished"] == "it was interrupted"


def test_a_finished_run_says_where_its_model_is(toy_folder, rows, tmp_path):
    _sft(toy_folder, rows, tmp_path)
    summary = json.loads((tmp_path / "runs/out/run.json").read_text())
    assert (summary["unfinished"], summary["model_folder"]) == (None, str(tmp_path / "out"))


def test_show_tells_what_a_single_training_measured(toy_folder, rows, tmp_path, capsys):
    trained = _sft(toy_folder, rows, tmp_path)
    told = capsys.readouterr().out.splitlines()
    runs.show("out", tmp_path)
    first, *_, model = capsys.readouterr().out.splitlines()
    assert first == f"loss in training: {trained.first_loss:.4g} at first, {trained.last_loss:.4g} at last"
    assert model == f"model: {tmp_path / 'out'}"
    assert {first, model} <= {*told}, "as the training itself has told it"


def test_another_chat_template_is_written_into_the_model(toy_folder, rows, tmp_path):
    trained = ab.sft(
        toy_folder, rows, out=tmp_path / "out", root=tmp_path, chat_template="chatml", settings={"threads": 1}
    )
    assert "im_start" in (trained.model / "chat_template.jinja").read_text()
    assert tomllib.loads((trained.model / "recipe.toml").read_text())["chat_template"] == "chatml"


def test_an_adapter_is_handed_over_alone(toy_folder, rows, tmp_path):
    trained = ab.sft(
        toy_folder, rows, out=tmp_path / "out", root=tmp_path, lora=True, adapter=True, settings={"threads": 1}
    )
    assert (trained.model / "adapter_model.safetensors").is_file()
    assert not (trained.model / "model.safetensors").exists()


def test_an_adapter_of_a_training_of_all_weights_is_refused_before_it(toy_folder, rows, tmp_path):
    with pytest.raises(UserError, match="--adapter") as caught:
        ab.sft(toy_folder, rows, out=tmp_path / "out", root=tmp_path, adapter=True, settings={"threads": 1})
    assert caught.value.remedy == "add --lora"
    assert not (tmp_path / "runs").exists()


def test_the_result_is_uploaded_privately_under_the_licence_that_is_named(
    toy_folder, rows, tmp_path, monkeypatch, capsys
):
    asked, uploaded = [], []
    monkeypatch.setattr(hub, "refuse_upload", lambda repo: asked.append((repo, (tmp_path / "out").exists())))

    def upload(folder: Path, repo: str, *, public: bool) -> str:
        uploaded.append((folder, repo, public, "license: mit" in (folder / "README.md").read_text()))
        return f"https://hub/{repo}"

    monkeypatch.setattr(hub, "upload_model", upload)
    said = {"threads": 1, "epochs": 1}
    ab.sft(toy_folder, rows, out=tmp_path / "out", root=tmp_path, push="org/mine", licence="mit", settings=said)
    assert asked[0] == ("org/mine", False)  # before it trains
    assert uploaded == [(tmp_path / "out", "org/mine", False, True)]
    assert capsys.readouterr().out.splitlines()[-1] == "uploaded: https://hub/org/mine"


def test_an_upload_without_a_licence_is_refused_before_the_training(toy_folder, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "refuse_upload", lambda repo: None)
    with pytest.raises(UserError, match="under a licence"):
        ab.sft(toy_folder, rows, out=tmp_path / "out", root=tmp_path, push="org/mine", settings={"threads": 1})
    assert not (tmp_path / "runs").exists()
