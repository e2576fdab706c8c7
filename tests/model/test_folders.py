"""Where a model lies."""

import pytest

from afterbase.core import hub
from afterbase.core.errors import UserError
from afterbase.model.folders import SHIPPED, find


def test_a_shipped_model_is_found_by_its_name_and_any_other_by_its_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert find("tiny-v3") == SHIPPED["tiny-v3"]
    assert find(str(tmp_path)) == tmp_path


def test_a_folder_without_a_config_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"config\.json") as refused:
        find(str(tmp_path))
    assert "tiny-v3" in refused.value.remedy


def test_a_model_of_the_hub_lies_where_it_was_downloaded(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(hub, "download_model", lambda name: {"hub:org/small": tmp_path}[name])
    assert find("hub:org/small") == tmp_path
    with pytest.raises(UserError, match=r"config\.json") as refused:
        find("org/small")
    assert "hub:ORG/NAME" in refused.value.remedy
