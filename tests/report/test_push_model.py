"""A model goes to the hub under a licence, or not at all."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from afterbase.core import hub
from afterbase.core.errors import UserError
from afterbase.report.push_model import push_model


@pytest.fixture
def pushed(monkeypatch) -> list[tuple[Path, str, bool]]:
    """What was uploaded; the hub itself is that of tests/core/test_hub.py."""
    uploads: list[tuple[Path, str, bool]] = []

    def upload(folder: Path, repo: str, *, public: bool) -> str:
        uploads.append((folder, repo, public))
        return f"https://hub/{repo}"

    monkeypatch.setattr(hub, "refuse_upload", lambda repo: None)
    monkeypatch.setattr(hub, "upload_model", upload)
    return uploads


def made(folder: Path, card: str | None) -> Path:
    (folder / "config.json").write_text("{}")
    if card is not None:
        (folder / "README.md").write_text(card)
    return folder


def test_the_licence_that_is_named_is_written_into_the_card(tmp_path, pushed):
    folder = made(tmp_path, "---\ntags: [a]\n---\n\n# Mine\n")
    assert push_model(folder, "org/mine", licence="mit", public=False) == "https://hub/org/mine"
    card = ModelCard((folder / "README.md").read_text())
    assert card.data.to_dict() == {"license": "mit", "tags": ["a"]}
    assert "# Mine" in card.text
    assert pushed == [(folder, "org/mine", False)]


def test_the_cards_own_licence_is_enough(tmp_path, pushed):
    text = "---\nlicense: apache-2.0\n---\n# Mine\n"
    push_model(made(tmp_path, text), "org/mine", licence=None, public=True)
    assert (tmp_path / "README.md").read_text() == text
    assert pushed == [(tmp_path, "org/mine", True)]


@pytest.mark.parametrize("card", [None, "# Mine\n", "---\ntags: [a]\n---\n"])
def test_without_a_licence_nothing_is_uploaded(tmp_path, pushed, card):
    with pytest.raises(UserError, match="under a licence") as refused:
        push_model(made(tmp_path, card), "org/mine", licence=None, public=False)
    assert "--licence" in refused.value.remedy
    assert pushed == []


@pytest.mark.parametrize("card", ["---\na: [\n---\n", "---\n- a\n---\n"])
def test_a_broken_card_is_told(tmp_path, pushed, card):
    with pytest.raises(UserError, match="YAML"):
        push_model(made(tmp_path, card), "org/mine", licence="mit", public=False)
    assert pushed == []


def test_a_folder_without_a_model_is_told(tmp_path, pushed):
    with pytest.raises(UserError, match="a model folder goes"):
        push_model(tmp_path, "org/mine", licence="mit", public=False)
