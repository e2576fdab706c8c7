"""A walk through a recipe's program: its stages with their costs, and nothing made."""

from pathlib import Path

from afterbase.cli.recipes.walk_recipe import walked
from afterbase.recipe import load_recipe, shipped_recipe
from afterbase.report.machine_rate import SMALL


def test_a_whole_recipe_is_walked_through_from_the_base_to_its_last_evaluation(micro, tmp_path, capsys):
    store, rates = walked(load_recipe(micro), tmp_path / "root")
    names = [record.name for record in store.stages]
    assert (names[0], names[-1]) == ("base model", "evaluate GRPO on chat")
    assert all(record.artifact.planned for record in store.stages)
    assert next(record for record in store.stages if record.name == "GRPO").cost.generated > 0
    assert min(rates.trained, rates.generated) > 0
    assert "matrix products measured now" in rates.source
    assert not (tmp_path / "root").exists()


def test_a_base_that_is_still_to_be_made_has_the_rates_of_a_small_model(tmp_path):
    store, rates = walked(load_recipe(shipped_recipe("tiny-base")), Path(tmp_path))
    assert rates is SMALL
    assert {"corpus", "tokenizer", "base"} <= {record.name for record in store.stages}
    assert not list(tmp_path.iterdir())
