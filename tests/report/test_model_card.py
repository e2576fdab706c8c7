"""The card of a model: what its lineage tells, as the hub and a reader of Markdown take it."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from afterbase.core.sample import Sample, conversation, write_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.report.model_card import model_card
from hostile import NAME, ON_ONE_LINE

RECIPE = {"name": "mine", "base": "hub:org/base@v2"}


def made_from(store: Store, *, card: str, licences: list[str | None], name: str = "rows") -> Artifact:
    """A base with a card, rows with licences, and a model of the two."""

    def base(work: Workspace) -> None:
        (work.payload / "README.md").write_text(card)

    def rows(work: Workspace) -> None:
        samples = [
            Sample(
                messages=conversation(f"{n}?", "!"), domain="d", kind="own", problem_id=None, producer={"name": "own"},
                extra={} if licence is None else {"license": licence},
            )
            for n, licence in enumerate(licences)
        ]  # fmt: skip
        write_samples(work.payload / "samples.parquet", samples)

    def train(work: Workspace) -> None:
        for step, loss in enumerate((2.0, 1.5, 0.25), start=1):
            work.log(step, 3, loss=loss)
        (work.payload / "accuracy.json").write_text('{"held_out_pairs": 10, "held_out_accuracy": 0.5}')

    begun = store.produce("base model", "base", 1, what={}, inputs={}, make=base)
    data = store.produce(name, "own_samples", 1, what={}, inputs={}, make=rows)
    return store.produce("SFT", "sft", 8, what={"epochs": 1}, inputs={"model": begun, "data": data}, make=train)


def card_of(made: Artifact, folder: Path, store: Store, **recipe: Any) -> ModelCard:
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    return ModelCard(model_card(made, folder, store=store, recipe=RECIPE | recipe, results=["solved: 0.5 [0.4, 0.6]"]))


def test_it_names_base_licences_data_results_settings_and_lineage(tmp_path):
    store = Store(tmp_path / "store")
    made = made_from(store, card="---\nlicense: mit\nlanguage: [en]\n---\n", licences=["cc0", "mit", "cc0", None])
    card = card_of(made, tmp_path / "model", store)
    assert card.data.to_dict() == {
        "base_model": "org/base",
        "language": ["en"],
        "library_name": "transformers",
        "license": "mit",
        "pipeline_tag": "text-generation",
        "tags": ["afterbase", "sft"],
    }
    assert "# mine" in card.text
    assert "hub:org/base@v2" in card.text
    assert "- solved: 0.5 [0.4, 0.6]" in card.text
    assert "- accuracy on 10 pairs not trained on: 0.5 [0.187, 0.813]" in card.text
    assert "- loss in training: 2 at first, 0.25 at last" in card.text
    data = next(line for line in card.text.splitlines() if line.startswith("| rows |"))
    assert "| samples | 4 | cc0, mit |" in data
    for artifact in (made, *store.ancestors(made.key)[0]):
        assert f"`{artifact.key}`" in card.text
    assert '"epochs": 1' in card.text


@pytest.mark.parametrize("card", ["# No YAML\n", "---\na: [\n---\n", "---\n- a\n---\n"])
def test_a_base_without_a_licence_leaves_it_open(tmp_path, card):
    store = Store(tmp_path / "store")
    made = made_from(store, card=card, licences=[None])
    text = card_of(made, tmp_path / "model", store, base="bases/mine")
    assert text.data.to_dict().keys() == {"library_name", "pipeline_tag", "tags"}
    assert "licence: not known" in text.text
    assert "not stated" in text.text


def test_a_name_writes_no_lines_or_cells_of_its_own(tmp_path):
    store = Store(tmp_path / "store")
    made = made_from(store, card="", licences=[None], name=f"a|b{NAME}")
    text = card_of(made, tmp_path / "model", store).text
    assert f"| a\\|b{ON_ONE_LINE} |".replace("\\|b", "\\|b") in text
