"""Arithmetic: two families of reasoning-gym problems, the answer in a box.

`chain_sum` adds and subtracts three to five numbers; `leg_counting` multiplies counts by what an animal has in
legs and adds up. The original response states the result at once. The teacher computes one step a line, checks
steps by their inverse, sometimes slips and repairs the slip, and often goes over everything again.
"""

import functools
import json
import random
from typing import TYPE_CHECKING

from afterbase.core.sample import Problem
from afterbase.data.problems.test_share import training_problem

if TYPE_CHECKING:
    from reasoning_gym.dataset import ProceduralDataset

NAME = "arithmetic"
REFLECTIVE_SYSTEM_PROMPT = "Think step by step. Reflect on each step and verify it before you answer."

_REQUEST = "Give the answer in \\boxed{}."
_OPENINGS = ("Okay, let me work this out step by step.", "Let me think.", "Okay.", "")
_FAMILY_SETTINGS = {
    "chain_sum": {"min_terms": 3, "max_terms": 6, "min_digits": 1, "max_digits": 1},
    "leg_counting": {"min_animals": 2, "max_animals": 3, "max_instances": 5},
}
# How often the teacher overthinks.
_CHECK_SHARE, _SLIP_SHARE, _RECAP_SHARE = 0.75, 0.15, 0.5

Step = tuple[int, str, int, int, str]  # left, operator, right, result, note


def problem(rng: random.Random) -> Problem:
    """One random problem of either family."""
    family = rng.choice(["chain_sum", "chain_sum", "leg_counting"])
    entry = _dataset(family, rng.randrange(2**31))[0]
    metadata = entry["metadata"]
    if family == "chain_sum":
        parsed = {"expression": metadata["expression"]}
    else:  # pairs, as the order of an object's keys does not survive canonical JSON
        parsed = {"animals": [list(pair) for pair in metadata["animals"].items()]}
    return Problem(
        domain=NAME,
        prompt=f"{entry['question'].strip()} {_REQUEST}",
        gold=_box(entry["answer"]),
        verifier="maths",
        spec={"answer": entry["answer"], "family": family, **parsed},
    )


def identity(problem: Problem) -> str:
    """The expression, or the animals whatever their order."""
    if problem.spec["family"] == "chain_sum":
        return problem.spec["expression"]
    return json.dumps(sorted(problem.spec["animals"]))


def original_response(problem: Problem, rng: random.Random) -> str:
    """The answer at once: short, regular, no steps."""
    if problem.spec["family"] == "chain_sum":
        left = problem.spec["expression"]
    else:
        left = " + ".join(f"{count} * {_legs_by_animal()[animal]}" for animal, count in problem.spec["animals"])
    return f"{left} = {_box(problem.spec['answer'])}"


def teacher_response(problem: Problem, rng: random.Random) -> str:
    """A long, reflective chain that ends in the right answer."""
    steps = _steps(problem)
    lines = [opening] if (opening := rng.choice(_OPENINGS)) else []
    lines += [_reflected(step, rng) for step in steps]
    if rng.random() < _RECAP_SHARE:
        lines.append("Let me go over it once more.")
        lines += [f"{_equation(step)}. Right." for step in steps]
    lines.append(f"So the answer is {_box(problem.spec['answer'])}")
    return "\n".join(lines)


def pretraining_text(rng: random.Random) -> str:
    """Raw fragments: equations, what animals have in legs, expressions with their running sums, bare exercises."""
    kind = rng.randrange(8)
    if kind == 0:
        return "\n".join(_random_equation(rng) for _ in range(6))
    if kind == 1:
        pairs = [(rng.randint(1, 5), animal) for animal in rng.sample(sorted(_legs_by_animal()), 4)]
        return "\n".join(f"{_equation(_legs(animal, count))}." for count, animal in pairs)
    if kind == 2:
        return training_problem(problem, identity, rng).prompt.removesuffix(_REQUEST).strip()
    if kind == 3:
        return "\n".join(_inverse_pair(rng) for _ in range(3))
    worked = []
    for _ in range(2):
        exercise = training_problem(problem, identity, rng)
        worked += [_expression(exercise), *(f"{_equation(step)}." for step in _steps(exercise))]
    return "\n".join(worked)


def worked_text(rng: random.Random) -> str:
    """An exercise and its running sums, some undone as a check, some told twice; the result is not stated apart."""
    exercise = training_problem(problem, identity, rng)
    checked = rng.random() < 0.5
    steps = _steps(exercise)
    lines = [exercise.prompt.removesuffix(_REQUEST).strip()]
    for step in steps:
        left, operator, right, result, _ = step
        lines.append(f"{_equation(step)}.")
        if checked:
            lines[-1] += f" Check: {_inverse(left, operator, right, result)}. Right."
    if rng.random() < _RECAP_SHARE:
        lines += ["Once more.", *(f"{_equation(step)}." for step in steps)]
    return "\n".join(lines)


def _expression(problem: Problem) -> str:
    if problem.spec["family"] == "chain_sum":
        return problem.spec["expression"]
    return ", ".join(_counted(animal, count) for animal, count in problem.spec["animals"])


def _counted(animal: str, count: int) -> str:
    return f"{count} {animal}{'s' if count > 1 else ''}"


@functools.cache
def _legs_by_animal() -> dict[str, int]:
    """How many legs each animal has."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    return ANIMALS


@functools.cache
def _template(family: str) -> "ProceduralDataset":
    import reasoning_gym  # here: a recipe is checked before this second is spent

    return reasoning_gym.create_dataset(family, size=1, seed=0, **_FAMILY_SETTINGS[family])


def _dataset(family: str, seed: int) -> "ProceduralDataset":
    dataset = _template(family)
    dataset.seed = seed
    return dataset


def _box(answer: object) -> str:
    return f"\\boxed{{{answer}}}"


def _apply(left: int, operator: str, right: int) -> int:
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


def _steps(problem: Problem) -> list[Step]:
    steps: list[Step] = []
    if problem.spec["family"] == "chain_sum":
        total, *rest = problem.spec["expression"].split()
        total = int(total)
    else:
        steps = [_legs(animal, count) for animal, count in problem.spec["animals"]]
        total, *others = [legs for *_, legs, _ in steps]
        rest = [token for legs in others for token in ("+", str(legs))]
    for operator, term in zip(rest[::2], rest[1::2], strict=True):
        result = _apply(total, operator, int(term))
        steps.append((total, operator, int(term), result, ""))
        total = result
    return steps


def _legs(animal: str, count: int) -> Step:
    return count, "*", _legs_by_animal()[animal], count * _legs_by_animal()[animal], f"{_counted(animal, count)}: "


def _equation(step: Step) -> str:
    left, operator, right, result, note = step
    return f"{note}{left} {operator} {right} = {result}"


def _reflected(step: Step, rng: random.Random) -> str:
    """A step, sometimes with a slip before it, often with a check behind it."""
    left, operator, right, result, note = step
    text = ""
    if operator != "*" and rng.random() < _SLIP_SHARE:
        slip = result + rng.choice([-10, -2, -1, 1, 2, 10])
        text = f"{_equation((left, operator, right, slip, note))}. Wait, let me check: "
        text += f"{_inverse(left, operator, right, slip)}. That is not {left}, so it is wrong. "
    text += f"{_equation(step)}."
    if rng.random() < _CHECK_SHARE:
        text += f" Check: {_inverse(left, operator, right, result)}. Right."
    return text


def _inverse(left: int, operator: str, right: int, result: int) -> str:
    """The equation that undoes a step: what a careful solver writes to check it."""
    if operator == "*":
        return f"{result} / {left} = {right}"
    undo = {"+": "-", "-": "+"}[operator]
    return f"{result} {undo} {right} = {_apply(result, undo, right)}"


def _random_equation(rng: random.Random) -> str:
    operator = rng.choice("++--*")
    if operator == "*":
        left, right = rng.randint(1, 5), rng.choice(sorted(set(_legs_by_animal().values())))
        return f"{left} * {right} = {left * right}."
    left, right = _operands(rng)
    return f"{left} {operator} {right} = {_apply(left, operator, right)}."


def _inverse_pair(rng: random.Random) -> str:
    (left, right), operator = _operands(rng), rng.choice("+-")
    result = _apply(left, operator, right)
    return f"{left} {operator} {right} = {result} and {_inverse(left, operator, right, result)}."


def _operands(rng: random.Random) -> tuple[int, int]:
    """Numbers of the size that running sums meet: of chains of single digits, or of legs."""
    if rng.random() < 0.7:
        return rng.randint(-25, 50), rng.randint(0, 9)
    return rng.randint(0, 70), rng.randint(0, 5) * rng.choice(sorted(set(_legs_by_animal().values())))
