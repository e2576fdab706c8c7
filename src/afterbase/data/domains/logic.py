"""Logic: reasoning-gym's knights and knaves with two people, judged by its own scorer.

The original response names the roles at once. The teacher goes through the cases: under assumed roles it looks up every
person that a statement names, joins the truth values, and asks whether the whole fits the speaker's role. It often
evaluates what no longer matters, sometimes slips and repairs the slip, and often checks the case that fits again.
"""

import functools
import itertools
import json
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from afterbase.core.sample import Problem
from afterbase.data.problems.test_share import training_problem

if TYPE_CHECKING:
    from reasoning_gym.dataset import ProceduralDataset

NAME = "logic"
REFLECTIVE_SYSTEM_PROMPT = "Think step by step. Reflect on each step and verify it before you answer."

_DATASET = "knights_knaves"
_REQUEST = "Give the answer in \\boxed{}."
_OPENINGS = ("Okay, let me go through the cases.", "Let me think.", "Okay.", "")
# How often the teacher overthinks: shares of responses, but for the slip, which is a share of statements.
_ALL_CASES_SHARE, _BOTH_SHARE, _RECAP_SHARE, _SLIP_SHARE = 0.3, 0.5, 0.5, 0.1
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


def identity(problem: Problem) -> str:
    """What two people say, whoever they are: puzzles that differ in names and wording only are one problem."""
    return json.dumps(problem.spec["statements"])


def original_response(problem: Problem, rng: random.Random) -> str:
    """The roles at once: short, regular, no cases."""
    assert problem.gold is not None
    return problem.gold


def teacher_response(problem: Problem, rng: random.Random) -> str:
    """A long, reflective walk through the cases that ends in the right answer."""
    spec = problem.spec
    lines = [opening] if (opening := rng.choice(_OPENINGS)) else []
    solution = tuple(spec["solution"])
    thorough, both = rng.random() < _ALL_CASES_SHARE, rng.random() < _BOTH_SHARE
    for case in _CASES:
        lines.append(_case_line(spec, case, both=both, slips=rng))
        if case == solution and not thorough:
            break
    if rng.random() < _RECAP_SHARE:
        lines.append(f"Wait, let me check again. {_case_line(spec, solution, both=True)}")
    assert problem.gold is not None
    lines.append(f"So the answer is {problem.gold}")
    return "\n".join(lines)


def pretraining_text(rng: random.Random) -> str:
    """Raw fragments: single statements evaluated under an assignment, bare puzzles, what each role does."""
    puzzle = training_problem(problem, identity, rng)
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
        return "\n".join([said, *(_case_line(spec, case, both=True) for case in rng.sample(_CASES, 2))])
    lines = []
    for case in rng.sample(_CASES, 3):
        statement = spec["statements"][rng.randrange(2)]
        lines.append(f"{_assumed(spec, case)}. {_looked_up(spec, statement, case)}.")
    return "\n".join(lines)


def worked_text(rng: random.Random) -> str:
    """A puzzle and its cases up to the one that fits; no conclusion is drawn."""
    puzzle, both = training_problem(problem, identity, rng), rng.random() < _BOTH_SHARE
    cases = list(itertools.takewhile(lambda case: case != tuple(puzzle.spec["solution"]), _CASES))
    lines = [_case_line(puzzle.spec, case, both=both) for case in [*cases, tuple(puzzle.spec["solution"])]]
    return "\n".join([puzzle.prompt.removesuffix(_REQUEST).strip(), *lines])


@functools.cache
def _template() -> "ProceduralDataset":
    import reasoning_gym  # here: a recipe is checked before this second is spent

    return reasoning_gym.create_dataset(_DATASET, size=1, seed=0, n_people=2, depth_constraint=2, width_constraint=2)


def _dataset(seed: int) -> "ProceduralDataset":
    dataset = _template()
    dataset.seed = seed
    return dataset


def _as_lists(statement: Any) -> Any:
    """Nested tuples as nested lists, which is what they are after a round trip through JSON."""
    return [_as_lists(part) for part in statement] if isinstance(statement, list | tuple) else statement


def _answer(names: list[str], roles: list[str], solution: list[bool]) -> str:
    first, second = (f"{name} is {roles[0 if honest else 1]}" for name, honest in zip(names, solution, strict=True))
    return f"\\boxed{{{first}, and {second}}}"


def _assumed(spec: dict, case: Sequence[bool]) -> str:
    """The roles of a case: `Riley = knight, Zoey = knave`."""
    return ", ".join(f"{name} = {_role(spec, honest)}" for name, honest in zip(spec["names"], case, strict=True))


def _role(spec: dict, honest: bool) -> str:
    return spec["roles"][0 if honest else 1].split(" ", 1)[1]


def _truth(statement: list, case: tuple[bool, ...]) -> bool:
    from reasoning_gym.logic.knights_knaves import KnightsKnavesDataset

    return bool(KnightsKnavesDataset.test_satisfiability(statement, case))


def _word(value: bool) -> str:
    return "true" if value else "false"


def _looked_up(spec: dict, statement: list, case: tuple[bool, ...]) -> str:
    """A statement's leaves, each with the role that it is about and its truth, and the whole where there are two.

    `Zoey is a knight: Zoey = knave, false; Riley is a knave: Riley = knave, true; false or true = true`
    """
    operator, *parts = statement
    if operator == "not":
        return _looked_up(spec, [{"telling-truth": "lying", "lying": "telling-truth"}[parts[0][0]], parts[0][1]], case)
    if operator in ("telling-truth", "lying"):
        name, claimed = spec["names"][parts[0]], spec["roles"][0 if operator == "telling-truth" else 1]
        role = _role(spec, case[parts[0]])
        return f"{name} is {claimed}: {name} = {role}, {_word(_truth(statement, case))}"
    leaves = "; ".join(_looked_up(spec, part, case) for part in parts)
    joined = _JOINED[operator].format(*(_word(_truth(part, case)) for part in parts))
    return f"{leaves}; {joined} = {_word(_truth(statement, case))}"


def _case_line(spec: dict, case: tuple[bool, ...], *, both: bool, slips: random.Random | None = None) -> str:
    """One case: the assumed roles, and whether what each person says fits; the second only if the first fits or `both`.

    With `slips`, a truth value is now and then guessed wrong before it is worked out.
    """
    text = f"Say {_assumed(spec, case)}."
    for name, honest, statement in zip(spec["names"], case, spec["statements"], strict=True):
        value = _truth(statement, case)
        if slips is not None and slips.random() < _SLIP_SHARE:
            text += f" {name}: {_word(not value)}. Wait, that is wrong."
        text += f" {name}: {_looked_up(spec, statement, case)}, {'fits' if value == honest else 'does not fit'}."
        if value != honest and not both:
            break
    return text
