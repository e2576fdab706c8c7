"""What the hub gives and takes, against a hub on loopback, and what is said where it cannot be asked."""

import json
import os
import subprocess
import sys

import huggingface_hub.constants
import pytest

from afterbase.core import hub
from afterbase.core.errors import UserError
from hub_server import TOKEN, Hub, running

MODEL = {"config.json": b"{}", "model.safetensors": b"weights", "weights.gguf": b"other", "README.md": b"---\n---\n"}


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A hub that this process asks, with a cache of its own and nobody logged in; offline by default, as a command."""
    with running() as server:
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("AFTERBASE_OFFLINE_BY_DEFAULT", "1")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        hub._download.cache_clear()
        yield server
    hub._download.cache_clear()


def test_a_model_comes_with_what_is_loaded_and_nothing_else(served: Hub):
    served.put("models", "org/small", MODEL)
    folder = hub.download_model("hub:org/small")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_pickled_weights_come_where_there_are_no_others(served: Hub):
    served.put("models", "org/old", {"config.json": b"{}", "pytorch_model.bin": b"pickled"})
    assert (hub.download_model("hub:org/old") / "pytorch_model.bin").read_bytes() == b"pickled"


def test_a_revision_is_the_one_that_is_named(served: Hub):
    served.put("models", "org/small", MODEL)
    first = served.commit("models/org/small")
    assert hub.download_model(f"hub:org/small@{first}").name == first
    with pytest.raises(UserError, match="at v2") as refused:
        hub.download_model("hub:org/small@v2")
    assert refused.value.got == "no such branch, tag or commit"


def test_rows_come_whole_or_from_the_folder_that_is_named(served: Hub):
    served.put("datasets", "org/rows", {"main/train.jsonl": b'{"a": 1}\n', "other/train.jsonl": b'{"a": 2}\n'})
    assert sorted(p.name for p in hub.download_rows("hub:org/rows").iterdir()) == ["main", "other"]
    assert (hub.download_rows("hub:org/rows/main") / "train.jsonl").read_bytes() == b'{"a": 1}\n'
    assert hub.download_rows("hub:org/rows/other/train.jsonl").read_bytes() == b'{"a": 2}\n'


def test_what_was_downloaded_is_there_without_a_network(served: Hub, monkeypatch):
    served.put("models", "org/small", MODEL)
    folder = hub.download_model("hub:org/small")
    hub._download.cache_clear()
    monkeypatch.delenv("AFTERBASE_OFFLINE_BY_DEFAULT")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    asked = len(served.requests)
    assert hub.download_model("hub:org/small") == folder
    with pytest.raises(UserError, match="can be reached") as refused:
        hub.download_model("hub:org/another")
    assert "HF_HUB_OFFLINE" in refused.value.remedy
    assert len(served.requests) == asked


def test_a_hub_that_does_not_answer_is_told_with_a_remedy(served: Hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="can be reached for the model org/small") as refused:
        hub.download_model("hub:org/small")
    assert "a folder" in refused.value.remedy


def test_a_model_that_is_not_there_or_private_is_told(served: Hub):
    with pytest.raises(UserError, match="the hub has the model org/absent"):
        hub.download_model("hub:org/absent")


@pytest.mark.parametrize("text", ["hub:small", "hub:org/small/../x", "hub:org /small", "hub:", "org/small"])
def test_another_name_is_refused(text: str):
    with pytest.raises(UserError, match="hub:ORG/NAME"):
        hub.hub_name(text)


def test_a_part_of_a_repository_is_no_model():
    with pytest.raises(UserError, match="whole repository"):
        hub.download_model("hub:org/small/part")


def test_a_folder_goes_up_private_unless_it_is_asked_to_be_public(served: Hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = tmp_path / "made"
    folder.mkdir()
    for name, data in MODEL.items():
        (folder / name).write_bytes(data)
    for public in (False, True):
        hub.refuse_upload(f"org/made-{public}")
        assert hub.upload_model(folder, f"org/made-{public}", public=public) == f"{served.url}/org/made-{public}"
        assert served.files[f"models/org/made-{public}"] == MODEL
        assert served.private[f"models/org/made-{public}"] is not public
    again = hub.download_model("hub:org/made-False")
    assert (again / "model.safetensors").read_bytes() == b"weights"


def test_a_public_model_is_not_written_by_mistake(served: Hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    served.put("models", "org/open", {})
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="private unless"):
        hub.upload_model(tmp_path, "org/open", public=False)
    assert served.files["models/org/open"] == {}


def test_nobody_uploads_who_is_not_logged_in(served: Hub, monkeypatch):
    with pytest.raises(UserError, match="logged in") as refused:
        hub.refuse_upload("org/made")
    assert "hf auth login" in refused.value.remedy
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError) as refused:
        hub.refuse_upload("org/made")
    assert "hf auth login" in refused.value.remedy
    assert "hf_wrong" not in str(refused.value)


@pytest.mark.parametrize(("own", "after"), [(None, ["1", "1"]), ("0", ["0", None]), ("1", ["1", None])])
def test_nothing_is_looked_up_by_default_and_the_users_own_word_stands(own: str | None, after: list[str | None]):
    code = (
        "import json, os; from afterbase.core import hub; hub.stay_offline();"
        "print(json.dumps([os.environ.get(n) for n in ('HF_HUB_OFFLINE', 'AFTERBASE_OFFLINE_BY_DEFAULT')]))"
    )
    kept = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "AFTERBASE_OFFLINE_BY_DEFAULT")}
    environment = kept | ({} if own is None else {"HF_HUB_OFFLINE": own})
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == after
