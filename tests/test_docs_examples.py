"""The examples in docstrings, run: the stages in the recipe's order, each on what the ones before it made."""

import doctest
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent.parent / "src"
STAGES = (
    "core.store.Store",
    "data.base_model.import_base",
    "data.own.own_sets.make_samples",
    "data.problems.problems.make_problems",
    "data.generate.draft.draft",
    "train.sft.train_sft",
    "train.grpo.stage.train_grpo",
    "data.generate.rejection_sampling.curate",
    "eval.held_out.evaluate",
    "data.generate.open_domains.review_open",
    "data.mixture.mix",
    "data.generate.preferences.make_preferences",
    "data.generate.judgements.make_judgements",
    "train.preference.generative_reward_model.train_generative_reward_model",
    "train.preference.reward_model.train_reward_model",
    "eval.reward_model_exam.examine_reward",
    "train.preference.preference_pairs.make_reference_logps",
    "train.preference.dpo.train_dpo",
    "train.preference.kto.train_kto",
    "data.own.own_answers.make_answers",
)


def examples() -> list[str]:
    """All public names whose docstring has an example, as `verify.check.check`."""
    found = []
    for path in sorted((SOURCE / "afterbase").rglob("*.py")):
        if re.search(r"^\s*>>> ", path.read_text(), flags=re.MULTILINE):
            module = importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))
            for name, thing in vars(module).items():
                if getattr(thing, "__module__", None) == module.__name__ and ">>> " in (thing.__doc__ or ""):
                    found.append(f"{module.__name__}.{name}".removeprefix("afterbase."))
    return found


def run(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Run one name's example on what earlier ones made; returns what it made. Fails with doctest's report."""
    module_name, _, attribute = name.rpartition(".")
    module = importlib.import_module(f"afterbase.{module_name}")
    text = getattr(module, attribute).__doc__
    names = {**vars(module), **given}
    test = doctest.DocTestParser().get_doctest(text, dict(names), name, module.__file__, 0)
    report: list[str] = []
    assert test.examples, name
    doctest.DocTestRunner().run(test, out=report.append, clear_globs=False)
    assert report == [], "".join(report)
    return {key: value for key, value in test.globs.items() if key not in names or names[key] is not value}


def test_the_stages_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {}
    for name in STAGES:
        made |= run(name, made)
    assert {"base", "sft", "expert", "curated", "reward", "judge", "dpo", "kto"} <= set(made)


@pytest.mark.parametrize("name", [name for name in examples() if name not in STAGES])
def test_an_example_gives_what_it_shows(name: str):
    run(name, {})


def test_no_stage_has_lost_its_example():
    assert set(STAGES) <= set(examples())
