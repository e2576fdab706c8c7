"""The programs of single trainings: a base model and rows of one's own in, one model out.

As in `run.py`, nothing here reads what is in an artifact, so that a store that only plans draws the graph.
"""

from dataclasses import dataclass

from afterbase.core.store import Artifact, Store
from afterbase.data.base_model import import_base
from afterbase.data.own.own_answers import make_answers
from afterbase.data.own.own_sets import make_labelled, make_pairs, make_prompts, make_samples
from afterbase.data.own.row_lengths import expected_tokens
from afterbase.data.problems.sources import make_source
from afterbase.model.folders import find
from afterbase.recipe import DistillationRecipe, GrpoRecipe, Job, PreferenceRecipe, RewardModelRecipe, SftRecipe
from afterbase.run_seed import Outcome
from afterbase.train.grpo.stage import train_grpo
from afterbase.train.preference.dpo import train_dpo
from afterbase.train.preference.kto import train_kto
from afterbase.train.preference.reward_model import train_reward_model
from afterbase.train.sft import train_sft


@dataclass(frozen=True)
class JobData:
    """What a training reads: its rows, and those that it is measured on."""

    rows: Artifact
    held_out: Artifact | None


def job_data(store: Store, recipe: Job, seed: int) -> JobData:
    """The user's own rows as artifacts: made before anything else, as a broken row may not come up after hours."""
    if isinstance(recipe, GrpoRecipe):
        held_out = None if recipe.eval is None else make_source(store, "eval", recipe.eval, seed=seed)
        return JobData(make_source(store, "own", recipe.problems, seed=seed), held_out)
    assert isinstance(recipe, SftRecipe | PreferenceRecipe | RewardModelRecipe | DistillationRecipe)
    make = make_pairs if isinstance(recipe, PreferenceRecipe | RewardModelRecipe) else make_samples
    if isinstance(recipe, PreferenceRecipe) and recipe.kto is not None:
        make = make_labelled
    held_out = None if recipe.data.eval is None else make(store, "eval data", recipe.data.eval, seed=seed)
    first = make_prompts if isinstance(recipe, DistillationRecipe) else make
    return JobData(first(store, "data", recipe.data.training, seed=seed), held_out)


def run_job(store: Store, recipe: Job, seed: int) -> Outcome:
    """One seed of a recipe of a single training."""
    base = import_base(store, find(recipe.base), chat_template=recipe.chat_template, template_args=recipe.template_args)
    data = job_data(store, recipe, seed)
    out = Outcome(seed)
    match recipe:
        case SftRecipe():
            out.final = train_sft(
                store, "SFT", base, data.rows, recipe.sft,
                seed=seed, expected_tokens=expected_tokens(data.rows), held_out=data.held_out,
            )  # fmt: skip
            out.data.append(data.rows)
        case DistillationRecipe():
            answers = make_answers(
                store, "teacher's answers", data.rows, recipe.teacher,
                seed=seed, account=recipe.name, trained=recipe.data.trained,
            )  # fmt: skip
            out.final = train_sft(
                store, "SFT", base, answers, recipe.sft,
                seed=seed, expected_tokens=expected_tokens(answers), held_out=data.held_out,
            )  # fmt: skip
            out.data.append(answers)
        case PreferenceRecipe():
            out.final = _on_preferences(store, recipe, base, data, seed)
        case RewardModelRecipe():
            out.final = train_reward_model(
                store, "reward model", base, data.rows, recipe.reward_model, seed=seed, held_out=data.held_out
            )
        case GrpoRecipe():
            out.final = train_grpo(store, "GRPO", base, [data.rows], recipe.grpo, seed=seed, held_out=data.held_out)
    out.curves.append(out.final_model())
    return out


def _on_preferences(store: Store, recipe: PreferenceRecipe, base: Artifact, data: JobData, seed: int) -> Artifact:
    """The loss that has a reference compares with the base, whose log-probabilities the stage makes first."""
    if recipe.kto is not None:
        return train_kto(store, "KTO", base, data.rows, None, recipe.kto, seed=seed, held_out=data.held_out)
    assert recipe.dpo is not None
    return train_dpo(store, "DPO", base, data.rows, None, recipe.dpo, seed=seed, held_out=data.held_out)
