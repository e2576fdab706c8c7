r"""Problems of any reasoning-gym family, split in train and test; answers are scored as exact.

A family is one of the data sets that `reasoning_gym` makes without end. Test problems are of the share that is kept for
tests (`held_out.py`), chosen by a hash of their question.
"""

import dataclasses
import json
from typing import Any

from pydantic import Field

from afterbase.core.config import Config, what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, write_problems
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.problems.problems import refuse_rejected_golds
from afterbase.data.problems.test_share import for_tests
from afterbase.verify.extract import Way
from afterbase.verify.puzzle import VERIFIER

VERSION = 4
_EXAMPLES = ("example_answer", "example_correct_answer", "possible_answer")  # of families whose answers are many
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
    credit_cut_off: bool = False
    """Whether the last number, or the whole, of a response that the budget cut off counts as its answer."""
    train: int = Field(default=250, ge=1)
    """Training problems."""
    test: int = Field(default=48, ge=1)
    """Held-out problems."""


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
    dataset = _entries(config, seed)
    for entry in dataset:
        if (len(train), len(test)) == (config.train, config.test):
            break
        held_out = for_tests(entry["question"])
        split, wanted = (test, config.test) if held_out else (train, config.train)
        if len(split) < wanted:
            split.setdefault(entry["question"], _problem(name, config, dataset, entry))
    if len(train) < config.train or len(test) < config.test:
        raise UserError(
            "a family must have as many distinct problems as the recipe asks for",
            got=f"{len(train)} distinct `{config.family}` problems for training and {len(test)} for tests, "
            f"{config.train} and {config.test} asked for",
            remedy="lower `train` and `test`, or widen the family's settings",
        )
    return list(train.values()), list(test.values())


def _entries(config: Family, seed: int) -> Any:
    import reasoning_gym  # here: a recipe is checked before this second is spent
    from reasoning_gym.factory import DATASETS

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


def _problem(name: str, config: Family, dataset: Any, entry: dict[str, Any]) -> Problem:
    answer = _answer(dataset, entry)
    kept = {"question": entry["question"], "answer": answer, "metadata": entry["metadata"]}
    if entry["answer"] is None:
        kept["answer"] = None  # many are right: the scorer reads the metadata
    boxed = f"\\boxed{{{answer}}}" if "box" in config.answer_by else f"The answer is {answer}"
    return Problem(
        domain=name,
        prompt=f"{entry['question']}\n{config.instruction}",
        gold=None if answer is None else boxed,
        verifier=VERIFIER,
        spec={
            "dataset": config.family,
            "answer_by": config.answer_by,
            **({"credit_cut_off": True} if config.credit_cut_off else {}),
            "entry": json.loads(json.dumps(kept, default=str)),
        },
    )


def _answer(dataset: Any, entry: dict[str, Any]) -> str | None:
    """The right answer as the text that its scorer takes; one of them where many are right; None if none is known."""
    answer = entry["answer"]
    if answer is None:
        answer = next((entry["metadata"][name] for name in _EXAMPLES if entry["metadata"].get(name)), None)
    if answer is None or isinstance(answer, str):
        return answer
    texts = [json.dumps(answer, default=str), str(answer)]
    texts += [separator.join(map(str, answer)) for separator in (", ", " ")] if isinstance(answer, list | tuple) else []
    own = None if entry["answer"] is None else answer
    return next((text for text in texts if _takes(dataset, text, {**entry, "answer": own and text})), texts[0])


def _takes(dataset: Any, text: str, entry: dict[str, Any]) -> bool:
    try:
        return dataset.score_answer(text, entry) == 1.0
    except Exception:  # a scorer may raise on what is not its spelling
        return False
