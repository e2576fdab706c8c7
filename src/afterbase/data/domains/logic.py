"""Logic: reasoning-gym's knights and knaves with two people, judged by its own scorer.

The original response names the roles at once. The teacher goes through the four cases, evaluates what each person
says in each, checks the case that fits, and often evaluates cases that no longer matter.
"""

import functools
import itertools
import random
from collections.abc import Sequence
from typing import Any

import reasoning_gym
from reasoning_gym.dataset import ProceduralDataset
from reasoning_gym.logic.knights_knaves import KnightsKnavesDataset

from afterbase.core.sample import Problem

NAME = "logic"
REFLECTIVE_SYSTEM_PROMPT = "Think step by step. Reflect on each step and verify it before you answer."

_DATASET = "knights_knaves"
_REQUEST = "Give the answer in \\boxed{}."
_OPENINGS = ("Okay, let me go through the cases.", "Let me think.", "Okay.", "")
_ALL_CASES_SHARE, _RECAP_SHARE, _SLIP_SHARE = 0.5, 0.6, 0.15
_CASES = list(itertools.product([True, False], repeat=2))
_JOINED = {"and": "{} and {}", "or": "{} or {}", "->": "if {} then {}", "<=>": "{} if and only if {}"}


def problem(rng: random.Random) -> Problem:
    """One random puzzle with a unique solution."""
    entry = _dataset(rng.randrange(2**31))[0]
    metadata = entry["metadata"]
    # NumPy's strings and truth values become plain ones: a spec is JSON.
    names = [str(name) for name in metadata["names"]]
    roles = [str(metadata["knight_knave_terms"][term]) for term in ("a_knight", "a_knave")]
    solution = [bool(honest) for honest in metadata["solution"]]
    return Problem(
        domain=NAME,
        prompt=f"{entry['question'].split(' (Format')[0]} {_REQUEST}",
        gold=_answer(names, roles, solution),
        verifier="reasoning_gym",
        spec={
            "dataset": _DATASET,
            "entry": {
                "question": entry["question"],
                "answer": entry["answer"],
                "metadata": {"source_dataset": _DATASET},
            },
            "names": names,
            "roles": roles,
            "statements": _as_lists(metadata["statements"]),
            "solution": solution,
        },
    )


def original_response(problem: Problem, rng: random.Random) -> str:
    """The roles at once: short, regular, no cases."""
    assert problem.gold is not None
    return problem.gold


def teacher_response(problem: Problem, rng: random.Random) -> str:
    """A long, reflective walk through the cases that ends in the right answer."""
    spec = problem.spec
    lines = [opening] if (opening := rng.choice(_OPENINGS)) else []
    solution = tuple(spec["solution"])
    thorough = rng.random() < _ALL_CASES_SHARE
    for case in _CASES:
        lines.append(_case_line(spec, case, rng))
        if case == solution and not thorough:
            break
    if rng.random() < _RECAP_SHARE:
        lines.append(f"Wait, let me check again. {_case_line(spec, solution, None)}")
    assert problem.gold is not None
    lines.append(f"So the answer is {problem.gold}")
    return "\n".join(lines)


def pretraining_text(rng: random.Random) -> str:
    """Raw fragments: single statements evaluated under an assignment, bare puzzles, what each role does."""
    puzzle = problem(rng)
    spec = puzzle.spec
    kind = rng.randrange(6)
    if kind == 0:
        return puzzle.prompt.removesuffix(_REQUEST).strip()
    if kind == 1:
        honest, liar = spec["roles"]
        return (f"{honest.capitalize()} always tells the truth. {liar.capitalize()} always lies. "
                f"What {honest} says is true. What {liar} says is false.")  # fmt: skip
    if kind in (2, 3):  # what was said, then some cases; no conclusion
        said = puzzle.prompt.split("inhabitants: ", 1)[1].split(" So who is")[0]
        return "\n".join([said, *(_case_line(spec, case, None) for case in rng.sample(_CASES, 2))])
    lines = []
    for case in rng.sample(_CASES, 3):
        person = rng.randrange(2)
        words = _in_words(spec, spec["statements"][person])
        lines.append(f"{_roles(spec, case)}. {words}: {_evaluation(spec['statements'][person], case)}.")
    return "\n".join(lines)


def worked_text(rng: random.Random) -> str:
    """A puzzle and its cases up to the one that fits; no conclusion is drawn."""
    puzzle = problem(rng)
    cases = list(itertools.takewhile(lambda case: case != tuple(puzzle.spec["solution"]), _CASES))
    lines = [_case_line(puzzle.spec, case, None) for case in [*cases, tuple(puzzle.spec["solution"])]]
    return "\n".join([puzzle.prompt.removesuffix(_REQUEST).strip(), *lines])


@functools.cache
def _template() -> ProceduralDataset:
    return reasoning_gym.create_dataset(_DATASET, size=1, seed=0, n_people=2, depth_constraint=2, width_constraint=2)


def _dataset(seed: int) -> ProceduralDataset:
    dataset = _template()
    dataset.seed = seed
    return dataset


def _as_lists(statement: Any) -> Any:
    """Nested tuples as nested lists, which is what they are after a round trip through JSON."""
    return [_as_lists(part) for part in statement] if isinstance(statement, list | tuple) else statement


def _answer(names: list[str], roles: list[str], solution: list[bool]) -> str:
    first, second = _assigned(names, roles, solution)
    return f"\\boxed{{{first}, and {second}}}"


def _roles(spec: dict, case: tuple[bool, ...]) -> str:
    return ", ".join(_assigned(spec["names"], spec["roles"], case))


def _assigned(names: list[str], roles: list[str], case: Sequence[bool]) -> list[str]:
    return [f"{name} is {roles[0 if honest else 1]}" for name, honest in zip(names, case, strict=True)]


def _truth(statement: list, case: tuple[bool, ...]) -> bool:
    return bool(KnightsKnavesDataset.test_satisfiability(statement, case))


def _word(value: bool) -> str:
    return "true" if value else "false"


def _evaluation(statement: list, case: tuple[bool, ...]) -> str:
    """A statement with its leaves replaced by their truth, and the value of the whole: `true or false = true`."""
    whole = _word(_truth(statement, case))
    operator, *parts = statement
    if operator in ("telling-truth", "lying", "not"):
        return whole
    first, second = (_word(_truth(part, case)) for part in parts)
    return f"{_JOINED[operator].format(first, second)} = {whole}"


def _in_words(spec: dict, statement: list) -> str:
    operator, *parts = statement
    if operator in ("telling-truth", "lying"):
        return f"{spec['names'][parts[0]]} is {spec['roles'][0 if operator == 'telling-truth' else 1]}"
    if operator == "not":
        flipped = {"telling-truth": "lying", "lying": "telling-truth"}[parts[0][0]]
        return _in_words(spec, [flipped, parts[0][1]])
    first, second = (_in_words(spec, part) for part in parts)
    return _JOINED[operator].format(first, second)


def _case_line(spec: dict, case: tuple[bool, ...], rng: random.Random | None) -> str:
    """One case: the assumed roles, each person's statement, its value, and whether that fits the person's role."""
    text = f"Say {_roles(spec, case)}."
    for name, honest, statement in zip(spec["names"], case, spec["statements"], strict=True):
        value = _truth(statement, case)
        if rng is not None and rng.random() < _SLIP_SHARE:
            text += f" {name}: {_word(not value)}. Wait, that is wrong."
        fits = "fits" if value == honest else "does not fit"
        text += f" {name}: {_in_words(spec, statement)}: {_evaluation(statement, case)}, {fits}."
    return text
