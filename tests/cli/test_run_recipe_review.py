"""A whole recipe on a toy model in which people review: it waits for them, and goes on where it was."""

import json
from pathlib import Path

import pytest
import torch

from afterbase.cli import run_recipe
from afterbase.cli.recipes import plan_recipe
from afterbase.core.errors import UserError, Waiting
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.review_stage import review_folder
from afterbase.data.review.review_store import open_reviews

POLICY = "\n[review.chat]\nshare = 0.04\ndouble = 0.5\nmin_alpha = 0.2\n"  # 12 of 300 drafts, 6 of them twice


@pytest.fixture(autouse=True)
def _threads():
    """A run sets torch's threads for its process; give them back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def reviewed(micro: Path) -> Path:
    """The recipe, with people in the place of the recorded reviews."""
    micro.write_text(micro.read_text() + POLICY)
    return micro


def _stages(root: Path) -> dict[str, float]:
    """When each artifact was finished, by its stage's name."""
    manifests = [
        (json.loads(p.read_text())["name"], p.stat().st_mtime) for p in (root / "store").glob("*/manifest.json")
    ]
    return dict(manifests)


def test_the_run_waits_for_people_and_goes_on_where_it_was(reviewed, tmp_path, capsys):
    root = tmp_path / "root"
    with pytest.raises(Waiting) as waiting:
        run_recipe.run(reviewed, root)
    assert "People review 12 of 300 chat drafts, 6 of them twice" in capsys.readouterr().out
    assert "12 drafts to review" in waiting.value.got
    assert f"afterbase review micro --root {root}" in waiting.value.remedy
    before = _stages(root)
    assert "arithmetic expert, GRPO" in before, "what needs no people is done"
    assert "SFT" not in before

    reviews = open_reviews(review_folder(root, "micro"), "micro", None)
    for name in ("ada", "ben"):
        while (item := reviews.next_item("chat", name)) is not None:
            draft = item.messages[-1]["content"]
            if item.id % 4 == 0:
                reviews.give(item.id, name, Outcome.REJECT, reason="off_topic")
            else:
                reviews.give(item.id, name, Outcome.EDIT, reason="slip", edited=f"{draft} Indeed.")
    reviews.engine.dispose()

    run_recipe.run(reviewed, root)
    after = _stages(root)
    assert {name: after[name] for name in before} == before, "nothing was done again"
    summary = json.loads((root / "runs/micro/run.json").read_text())
    assert [stage["name"] for stage in summary["stages"]].count("chat review") == 1
    assert summary["evaluations"]
    run_recipe.run(reviewed, root)
    assert _stages(root) == after


def test_the_plan_tells_of_people_and_asks_nobody(reviewed, tmp_path, capsys):
    plan_recipe.plan(reviewed, tmp_path / "root")
    out = capsys.readouterr().out
    assert "the run waits for them" in out
    assert "chat review" in out
    assert not (tmp_path / "root" / "runs").exists()


def test_a_missing_guideline_is_told_before_anything_is_trained(reviewed, tmp_path):
    reviewed.write_text(reviewed.read_text() + 'guideline = "nowhere.md"\n')
    with pytest.raises(UserError, match="a guideline is a Markdown file"):
        run_recipe.run(reviewed, tmp_path / "root")
    assert not (tmp_path / "root" / "store").exists()
