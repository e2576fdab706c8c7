"""Where a model lies."""

import json
from pathlib import Path

import pytest

from afterbase.core import hub
from afterbase.core.errors import UserError
from afterbase.model.folders import SHIPPED, find, tokenizer_of


def test_a_shipped_model_is_found_by_its_name_and_any_other_by_its_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert find("tiny-v3") == SHIPPED["tiny-v3"]
    assert find(str(tmp_path)) == tmp_path


def test_a_finished_run_stands_for_the_model_that_it_handed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, folder in (("sums", "elsewhere"), ("stopped", None)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps({"model_folder": folder}))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/config.json").write_text("{}")
    assert find("sums") == Path("elsewhere")
    for name in ("stopped", "unknown"):
        with pytest.raises(UserError, match=r"config\.json"):
            find(name)


def test_a_folder_without_a_config_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"config\.json") as refused:
        find(str(tmp_path))
    assert "tiny-v3" in refused.value.remedy


def test_a_folder_without_a_tokenizer_is_told(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="has its tokenizer") as refused:
        tokenizer_of(tmp_path)
    assert str(tmp_path) in refused.value.got
    assert len(tokenizer_of(SHIPPED["tiny-v3"])) > 0


def test_a_model_of_the_hub_lies_where_it_was_downloaded(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(hub, "download_model", lambda name: {"hub:org/small": tmp_path}[name])
    assert find("hub:org/small") == tmp_path
    with pytest.raises(UserError, match=r"config\.json") as refused:
        find("org/small")
    assert "hub:ORG/NAME" in refused.value.remedy


def test_an_adapter_alone_is_told_as_one(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="holds a whole model") as caught:
        find(str(tmp_path))
    assert "adapter" in caught.value.got
