import json
import sys
from pathlib import Path

import pytest

from afterbase.cli import main as cli
from afterbase.core import hub
from afterbase.core.sample import conversation, read_samples
from hostile import NAME, SHOWN


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["afterbase", "data", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code is None or isinstance(end.value.code, int)
    return end.value.code or 0


ITEM = (
    "How many of the first one hundred positive integers are neither prime nor a perfect square of any integer at all?"
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [conversation("Why?", "Because."), conversation("why ?", "Because."), conversation(ITEM, "Sixty-four.")]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"messages": m}) + "\n" for m in rows))
    (tmp_path / "bench.jsonl").write_text(json.dumps({"question": ITEM, "answer": "64"}) + "\n")
    return tmp_path


def test_from_a_benchmark_and_rows_to_a_clean_file(files, monkeypatch, capsys):
    assert call(monkeypatch, "hash", "bench.jsonl", "--field", "question", "--out", "bench.hashes") == 0
    assert capsys.readouterr().out == "bench.hashes: 1 items\n"
    clean = ["clean", "in.jsonl", "--out", "out", "--against", "bench.hashes"]
    assert call(monkeypatch, *clean, "--preview") == 0
    assert "| unnamed | 1 | 1 |" in capsys.readouterr().out
    assert not (files / "out").exists()
    assert call(monkeypatch, *clean, "--domain", "chat") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "1 rows kept, 2 dropped",
        "          1  decontaminate: contaminated: bench",
        "          1  dedup: near duplicate",
        "out: samples.parquet, dropped.parquet, card.md, card.json",
    ]
    assert "clean: done" in err
    [sample] = read_samples(files / "out/samples.parquet")
    assert (sample.domain, sample.response) == ("chat", "Because.")
    assert call(monkeypatch, "export", "out/samples.parquet", "chat.jsonl", "--to", "sharegpt") == 0
    assert json.loads((files / "chat.jsonl").read_text())["conversations"][1] == {"from": "gpt", "value": "Because."}


def test_a_set_of_the_hub_is_downloaded(files, monkeypatch, capsys):
    (files / "set").mkdir()
    (files / "in.jsonl").rename(files / "set" / "train.jsonl")
    monkeypatch.setattr(hub, "download_rows", lambda name: {"hub:org/rows": files / "set"}[name])
    assert call(monkeypatch, "clean", "hub:org/rows", "--out", "out") == 0
    assert "2 rows kept" in capsys.readouterr().out


def test_rules_come_from_a_file(files, monkeypatch, capsys):
    (files / "rules.toml").write_text("[filters]\nshortest = 10\n[dedup]\nsimilarity = 1.0\n[workers]\nprocesses = 1\n")
    assert call(monkeypatch, "clean", "in.jsonl", "--out", "out", "--config", "rules.toml") == 0
    assert "length: too short" in capsys.readouterr().out
    (files / "rules.toml").write_text("[filters]\nshortes = 10\n")
    assert call(monkeypatch, "clean", "in.jsonl", "--out", "other", "--config", "rules.toml") == 2
    assert "unknown key `filters.shortes`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["clean", "gone.jsonl", "--out", "x"], "a file to read exists"),
        (["clean", "in.jsonl", "--out", "x", "--against", "gone"], "a benchmark to keep out is a file of its hashes"),
        (["hash", "gone.jsonl", "--field", "a", "--out", "x"], "a benchmark's file exists"),
        (["hash", "bench.jsonl", "--field", "prompt", "--out", "x"], "each item of a benchmark is a text"),
        (["export", "in.jsonl", "x", "--to", "csv"], "`--to` is one of the forms"),
        (["export", "in.jsonl", "bench.jsonl", "--to", "chat"], "an export does not overwrite"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing(files, monkeypatch, capsys, arguments, rule):
    before = sorted(files.iterdir())
    assert call(monkeypatch, *arguments) == 2
    assert f"error: {rule}" in capsys.readouterr().err
    assert sorted(files.iterdir()) == before


def test_invalid_text_is_named_by_its_line(files, monkeypatch, capsys):
    with (files / "in.jsonl").open("ab") as file:
        file.write(b'{"messages": "\xff"}\n')
    assert call(monkeypatch, "clean", "in.jsonl", "--out", "out") == 2
    assert "line 4 of in.jsonl: no UTF-8" in capsys.readouterr().err
    assert not (files / "out").exists()


def test_a_files_name_is_shown_as_it_is_written(files, monkeypatch, capsys):
    evil = f"{NAME}.jsonl".replace("/", "")
    assert call(monkeypatch, "export", "in.jsonl", evil, "--to", "chat") == 0
    assert capsys.readouterr().out == f"{SHOWN.replace('/', '')}.jsonl: 3 rows\n"


def test_a_preview_is_json_for_programs_and_text_for_people(tmp_path, monkeypatch, capsys):
    rows = [{"messages": conversation("1 + 1?", "2")}, {"messages": conversation("1 + 1?", "2")[:1]}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = str(tmp_path / "r.jsonl")
    assert call(monkeypatch, "preview", file, "--model", "tiny-v3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["form", "rows", "dropped", "examples"]
    assert (found["form"], found["rows"], len(found["dropped"]), len(found["examples"])) == ("chat", 2, 1, 1)
    assert call(monkeypatch, "preview", file, "--model", "tiny-v3") == 0
    assert "⟦2<|end|>⟧" in capsys.readouterr().out


def test_columns_of_other_names_are_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "r.jsonl").write_text(json.dumps({"frage": "1 + 1?", "antwort": "2"}))
    base = ["preview", tmp_path / "r.jsonl", "--model", "tiny-v3", "--json"]
    assert call(monkeypatch, *base, "--columns", "prompt=frage,completion=antwort") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["form"], len(found["examples"])) == ("prompt_completion", 1)
    assert call(monkeypatch, *base, "--columns", "prompt=fragen") == 2
    assert "no `fragen` among frage, antwort" in capsys.readouterr().err


def test_rows_of_any_form_are_cleaned(files, monkeypatch, capsys):
    rows = [
        {"instruction": "Why?", "output": "Because."},
        {"text": "The sky is blue."},
        {"prompt": "How?", "chosen": "So.", "rejected": "Not at all."},
        {"prompt": "Where?", "completion": "Here.", "label": True},
        {"prompt": "When is it?"},
    ]
    (files / "forms.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call(monkeypatch, "clean", "forms.jsonl", "--out", "out") == 0
    assert capsys.readouterr().out.startswith("5 rows kept, 0 dropped")
    assert {sample.kind for sample in read_samples(files / "out/samples.parquet")} == {"imported", "prompt"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--trained", "first"], "`trained` must be"),
        (["--form", "sheet"], "`form` must be"),
        (["--template-args", "[1]"], "is a JSON object"),
        (["--template-args", "{x"], "is a JSON object"),
        (["--form", "text"], "rows of the form"),
        (["--model", "nowhere"], "a model is"),
    ],
)
def test_what_is_wrong_with_a_preview_is_told(tmp_path, monkeypatch, capsys, arguments, why):
    (tmp_path / "r.jsonl").write_text(json.dumps({"messages": conversation("1 + 1?", "2")}))
    assert call(monkeypatch, "preview", tmp_path / "r.jsonl", "--model", "tiny-v3", *arguments) == 2
    assert why in capsys.readouterr().err


def test_a_preview_uses_the_template_that_is_named_and_its_settings(tmp_path, monkeypatch, capsys):
    (tmp_path / "r.jsonl").write_text(json.dumps({"messages": conversation("1 + 1?", "2")}))
    base = ["preview", tmp_path / "r.jsonl", "--model", "tiny-v3", "--json"]
    (tmp_path / "t.jinja").write_text(
        "{{ '<|begin|>' + mood }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}"
        "{% if m.role == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    template = ["--chat-template", tmp_path / "t.jinja", "--template-args", '{"mood": "calm"}']
    assert call(monkeypatch, *base, *template) == 0
    (example,) = json.loads(capsys.readouterr().out)["examples"]
    assert example["text"] == "<|begin|>calm<|user|>1 + 1?<|assistant|>2<|end|>"
    assert call(monkeypatch, *base, "--chat-template", "chatml") == 0
    assert "<|im_start|>user" in json.loads(capsys.readouterr().out)["examples"][0]["text"]
