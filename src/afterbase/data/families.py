r"""Problems of any reasoning-gym family, split in train and test; answers are scored as exact.

A family is one of the data sets that `reasoning_gym` makes without end. Test problems are of the share that is kept for
tests (`held_out.py`), told by their question.
"""

import dataclasses
from typing import Any

import reasoning_gym
from pydantic import Field
from reasoning_gym.factory import DATASETS

from afterbase.core.config import Config, what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, write_problems
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.held_out import for_tests
from afterbase.data.problems import refuse_rejected_golds
from afterbase.verify.extract import Way
from afterbase.verify.puzzle import VERIFIER

VERSION = 2
_TRIES = 40  # draws per distinct problem before a family counts as exhausted


class Family(Config):
    """A family, its own settings, and how many of its problems."""

    family: str
    """A data set's name in reasoning-gym, such as `chain_sum`."""
    settings: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """What the data set takes beside seed and size."""
    instruction: str = "Give the final answer in \\boxed{}."
    """Stands after the question, in a line of its own."""
    answer_by: list[Way] = Field(default=["box"], min_length=1)
    """Where the answer is in a response, by the first way that finds one: `box`, `answer_is`, `last_number`."""
    train: int = Field(ge=1)
    test: int = Field(ge=1)


def make_family(store: Store, name: str, config: Family, *, seed: int) -> Artifact:
    """train.parquet and test.parquet of one family, as domain `name`."""

    def make(work: Workspace) -> None:
        train, test = family_problems(name, config, seed)
        refuse_rejected_golds([*train[:20], *test])
        write_problems(work.payload / "train.parquet", train)
        write_problems(work.payload / "test.parquet", test)

    settings = {**what(config), "domain": name, "seed": seed}
    made = store.produce(f"{name} problems", "families", VERSION, what=settings, inputs={}, make=make)
    return dataclasses.replace(made, manifest={"what": settings}) if made.planned else made


def family_problems(name: str, config: Family, seed: int) -> tuple[list[Problem], list[Problem]]:
    """Disjoint train and test problems. UserError for an unknown family, its settings, or too few distinct problems."""
    train: dict[str, Problem] = {}
    test: dict[str, Problem] = {}
    for entry in _entries(config, seed):
        if (len(train), len(test)) == (config.train, config.test):
            break
        held_out = for_tests(entry["question"])
        split, room = (test, config.test) if held_out else (train, config.train)
        if len(split) < room:
            split.setdefault(entry["question"], _problem(name, config, entry))
    if len(train) < config.train or len(test) < config.test:
        raise UserError(
            "a family must have as many distinct problems as the recipe asks for",
            got=f"{len(train)} distinct `{config.family}` problems for training and {len(test)} for tests, "
            f"{config.train} and {config.test} asked for",
            remedy="lower `train` and `test`, or widen the family's settings",
        )
    return list(train.values()), list(test.values())


def _entries(config: Family, seed: int) -> Any:
    if config.family not in DATASETS:
        raise UserError(
            "`family` names a data set of reasoning-gym",
            got=f"`{config.family}`",
            remedy="use one of `python -c 'from reasoning_gym.factory import DATASETS; print(*DATASETS)'`",
        )
    size = _TRIES * (config.train + config.test)
    try:
        return reasoning_gym.create_dataset(config.family, seed=seed, size=size, **config.settings)
    except (TypeError, AssertionError, ValueError) as error:
        raise UserError(
            f"the settings of a family are those that reasoning-gym's `{config.family}` takes",
            got=f"{config.settings}: {error}",
            remedy=f"see the `Config` of {DATASETS[config.family][0].__module__}",
        ) from error


def _problem(name: str, config: Family, entry: dict[str, Any]) -> Problem:
    answer = str(entry["answer"])
    metadata = {k: v for k, v in entry["metadata"].items() if isinstance(v, str | int | float | bool | list)}
    return Problem(
        domain=name,
        prompt=f"{entry['question']}\n{config.instruction}",
        gold=f"\\boxed{{{answer}}}" if "box" in config.answer_by else f"The answer is {answer}",
        verifier=VERIFIER,
        spec={
            "dataset": config.family,
            "answer_by": config.answer_by,
            "entry": {"question": entry["question"], "answer": answer, "metadata": metadata},
        },
    )
