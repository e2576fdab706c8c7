"""Code: one-function Python problems, a pipeline over a list of integers, judged by hidden tests.

A problem is one to three steps (filters, maps, orders and slices) and a final `return`, told in plain English. The
original response is one nested expression, which has to be written from the inside out. The teacher plans, checks
every step on a small example, sometimes slips and repairs the slip, often goes over everything again, and then
writes one line a step. The tests are chosen so that they tell the program from its near misses.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from afterbase.core.sample import Problem
from afterbase.data.problems.test_share import for_tests

NAME = "code"
REFLECTIVE_SYSTEM_PROMPT = "Think step by step. Reflect on each step and verify it before you answer."

_OPENINGS = ("Okay, let me think.", "Let me think.", "Okay.")
_TEST_COUNT, _CANDIDATES = 5, 30
_STEP_COUNTS = (1, 2, 2, 3, 3)  # before the return; few of one step, as there are few to tell apart
# How often the teacher overthinks; the slip is a share of responses, not of steps.
_SLIP_SHARE, _RECAP_SHARE = 0.3, 0.5

Numbers = list[int]


@dataclass(frozen=True)
class Op:
    """One thing to do: how it is told, as Python with {xs} and {k} to fill in, and done; `ks` are the values of k."""

    phrases: tuple[str, ...]
    expression: str
    apply: Callable[[Numbers, int], Any]
    ks: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Step:
    """An operation with its k and one of its phrasings."""

    op: Op
    k: int
    text: str

    def code(self, xs: str = "xs") -> str:
        return self.op.expression.format(xs=xs, k=self.k)

    def line(self) -> str:
        return f"return {self.code()}" if self.op in _FINALS else f"xs = {self.code()}"

    def run(self, xs: Numbers) -> Any:
        return self.op.apply(xs, self.k)


_K, _FACTORS, _LENGTHS = tuple(range(2, 10)), (3, 4, 5), (2, 3, 4)
_FILTERS = (
    Op(("keep the even numbers", "keep only even numbers"),
       "[x for x in {xs} if x % 2 == 0]", lambda xs, k: [x for x in xs if x % 2 == 0]),
    Op(("keep the odd numbers", "keep only odd numbers"),
       "[x for x in {xs} if x % 2 == 1]", lambda xs, k: [x for x in xs if x % 2 == 1]),
    Op(("keep the positive numbers", "keep only positive numbers"),
       "[x for x in {xs} if x > 0]", lambda xs, k: [x for x in xs if x > 0]),
    Op(("keep the negative numbers", "keep only negative numbers"),
       "[x for x in {xs} if x < 0]", lambda xs, k: [x for x in xs if x < 0]),
    Op(("keep the numbers greater than {k}", "keep the numbers above {k}"),
       "[x for x in {xs} if x > {k}]", lambda xs, k: [x for x in xs if x > k], _K),
    Op(("keep the numbers less than {k}", "keep the numbers below {k}"),
       "[x for x in {xs} if x < {k}]", lambda xs, k: [x for x in xs if x < k], _K),
    Op(("keep the multiples of {k}", "keep the numbers divisible by {k}"),
       "[x for x in {xs} if x % {k} == 0]", lambda xs, k: [x for x in xs if x % k == 0], _FACTORS),
)  # fmt: skip
_MAPS = (
    Op(("add {k} to each number", "increase each number by {k}"),
       "[x + {k} for x in {xs}]", lambda xs, k: [x + k for x in xs], _K),
    Op(("subtract {k} from each number", "decrease each number by {k}"),
       "[x - {k} for x in {xs}]", lambda xs, k: [x - k for x in xs], _K),
    Op(("multiply each number by {k}",), "[x * {k} for x in {xs}]", lambda xs, k: [x * k for x in xs], _K),
    Op(("square each number",), "[x * x for x in {xs}]", lambda xs, k: [x * x for x in xs]),
    Op(("negate each number", "flip the sign of each number"),
       "[-x for x in {xs}]", lambda xs, k: [-x for x in xs]),
    Op(("take the absolute value of each number",),
       "[abs(x) for x in {xs}]", lambda xs, k: [abs(x) for x in xs]),
)  # fmt: skip
_ORDERS = (
    Op(("sort the numbers in ascending order", "sort the numbers from smallest to largest"),
       "sorted({xs})", lambda xs, k: sorted(xs)),
    Op(("sort the numbers in descending order", "sort the numbers from largest to smallest"),
       "sorted({xs}, reverse=True)", lambda xs, k: sorted(xs, reverse=True)),
    Op(("reverse the list", "reverse the order"), "{xs}[::-1]", lambda xs, k: xs[::-1]),
    Op(("take the first {k} numbers", "keep the first {k} numbers"),
       "{xs}[:{k}]", lambda xs, k: xs[:k], _LENGTHS),
    Op(("take the last {k} numbers", "keep the last {k} numbers"),
       "{xs}[-{k}:]", lambda xs, k: xs[-k:], _LENGTHS),
    Op(("drop the first {k} numbers", "skip the first {k} numbers"),
       "{xs}[{k}:]", lambda xs, k: xs[k:], _LENGTHS),
    Op(("take every second number starting with the first",), "{xs}[::2]", lambda xs, k: xs[::2]),
    Op(("remove duplicates keeping the order",),
       "list(dict.fromkeys({xs}))", lambda xs, k: list(dict.fromkeys(xs))),
)  # fmt: skip
_FINALS = (
    Op(("return the list", "return the resulting list"), "{xs}", lambda xs, k: xs),
    Op(("return the sum", "return the sum of the numbers"), "sum({xs})", lambda xs, k: sum(xs)),
    Op(("return the largest (0 if empty)", "return the largest number (0 if there is none)"),
       "max({xs}, default=0)", lambda xs, k: max(xs, default=0)),
    Op(("return the smallest (0 if empty)", "return the smallest number (0 if there is none)"),
       "min({xs}, default=0)", lambda xs, k: min(xs, default=0)),
    Op(("return how many there are", "return how many numbers are left"), "len({xs})", lambda xs, k: len(xs)),
)  # fmt: skip
_FAMILIES = (_FILTERS, _MAPS, _ORDERS, _FINALS)
_TRANSFORMS = _FILTERS + _MAPS + _ORDERS
# Every phrasing is unique, so that the texts of a problem's steps are enough to know its program.
_STEPS = {
    text: Step(op, k, text)
    for family in _FAMILIES
    for op in family
    for k in op.ks
    for text in (phrase.format(k=k) for phrase in op.phrases)
}


def problem(rng: random.Random) -> Problem:
    """One random problem in which every step matters."""
    while True:
        program = _program(rng)
        prompt = _prompt(program)
        inputs = _discriminating_inputs(program, prompt)
        if inputs is not None:
            break
    return Problem(
        domain=NAME,
        prompt=prompt,
        gold=_fenced(_body(program)),
        verifier="python",
        spec={
            "function": "solve",
            "tests": [{"args": [xs], "expected": _run(program, xs)} for xs in inputs],
            "steps": [step.text for step in program],
        },
    )


def identity(problem: Problem) -> str:
    """The program, which has many phrasings."""
    assert problem.gold is not None
    return problem.gold


def original_response(problem: Problem, rng: random.Random) -> str:
    """One nested expression: short, regular, no steps."""
    return _fenced([f"return {_nested(_parse(problem))}"])


def teacher_response(problem: Problem, rng: random.Random) -> str:
    """A long, reflective plan that ends in the right program, one line a step."""
    program = _parse(problem)
    xs = _example(program, rng)
    slip_at = rng.randrange(len(program)) if rng.random() < _SLIP_SHARE else None
    lines = [f"{rng.choice(_OPENINGS)} I will check each step on {xs}."]
    trace = _trace(program, xs)
    lines += _planned(
        trace, [_slip(step, before, rng) if i == slip_at else "" for i, (step, before, _) in enumerate(trace)]
    )
    if rng.random() < _RECAP_SHARE:
        values = ", then ".join(str(value) for value in (xs, *(after for _, _, after in trace)))
        lines.append(f"Let me go over it once more: {values}. Right.")
    return "\n".join([*lines, "So the function is:", _fenced(_body(program))])


def pretraining_text(rng: random.Random) -> str:
    """Raw fragments: commented lines, functions and nested expressions, worked examples, pieces of plans, exercises."""
    kind = rng.randrange(7)
    program = _training_program(rng)
    comment = f"# {_described(program, rng)}"
    if kind == 0:
        return "\n".join(f"# {step.text}\n{step.line()}" for step in _any_steps(rng, 5))
    if kind == 1:
        return _fenced([comment, *_body(program)])
    if kind == 2:
        return "\n".join([comment, _function([f"return {_nested(program)}"])])
    if kind == 3:
        examples = [(step, _example([step], rng)) for step in _any_steps(rng, 5)]
        return "\n".join(f"{step.text}: {xs} gives {step.run(xs)}" for step, xs in examples)
    if kind == 4:
        return "\n".join(f"# {step.text}\n{_nested([*program[:i], step])}" for i, step in enumerate(program))
    if kind == 5:
        trace = _trace(program, _example(program, rng))
        return "\n".join(f"{step.text}: {_checked(step, before, after)}" for step, before, after in trace)
    return "\n".join(f"- {_prompt(exercise)}" for exercise in (program, _training_program(rng)))


def worked_text(rng: random.Random) -> str:
    """An exercise and its steps, as lines of code or as a plan that is checked on an example."""
    program = _training_program(rng)
    if rng.random() < 0.5:
        return "\n".join([_prompt(program), *_body(program)])
    xs = _example(program, rng)
    return "\n".join([_prompt(program), f"On {xs}:", *_planned(_trace(program, xs))])


def _described(program: list[Step], rng: random.Random) -> str:
    """A program in words, as a list of commands or as a sentence about what a function does."""
    if rng.random() < 0.5:
        return ", ".join(step.text for step in program)
    return _prompt(program).split("that ", 1)[1]


def _step(op: Op, rng: random.Random) -> Step:
    return _STEPS[rng.choice(op.phrases).format(k=rng.choice(op.ks))]


def _any_steps(rng: random.Random, count: int) -> list[Step]:
    return [_step(op, rng) for op in rng.sample(_TRANSFORMS + _FINALS, count)]


def _program(rng: random.Random) -> list[Step]:
    ops = [*rng.sample(_TRANSFORMS, rng.choice(_STEP_COUNTS)), rng.choice(_FINALS)]
    return [_step(op, rng) for op in ops]


def _training_program(rng: random.Random) -> list[Step]:
    """The next program that is not kept for tests."""
    while for_tests(_fenced(_body(program := _program(rng)))):
        pass
    return program


def _parse(problem: Problem) -> list[Step]:
    return [_STEPS[text] for text in problem.spec["steps"]]


def _prompt(program: list[Step]) -> str:
    told = [_third_person(step.text) for step in program]
    return f"Write a Python function solve(xs) that takes a list of integers, {', '.join(told[:-1])}, and {told[-1]}."


def _third_person(text: str) -> str:
    verb, rest = text.split(" ", 1)
    return f"{'multiplies' if verb == 'multiply' else verb + 's'} {rest}"


def _run(program: list[Step], xs: Numbers) -> Any:
    value: Any = list(xs)
    for step in program:
        value = step.run(value)
    return value


def _trace(program: list[Step], xs: Numbers) -> list[tuple[Step, Numbers, Any]]:
    """Each step with the value before it and the value after it."""
    return [(step, _run(program[:i], xs), _run(program[: i + 1], xs)) for i, step in enumerate(program)]


def _body(program: list[Step]) -> list[str]:
    return [step.line() for step in program]


def _nested(program: list[Step]) -> str:
    code = "xs"
    for step in program:
        code = step.code(code)
    return code


def _function(body: list[str]) -> str:
    return "\n".join(["def solve(xs):", *(f"    {line}" for line in body)])


def _fenced(body: list[str]) -> str:
    return f"```python\n{_function(body)}\n```"


def _checked(step: Step, before: Numbers, after: Any) -> str:
    return f"{step.line()}. Check: {before} gives {after}. Right."


def _planned(trace: Sequence[tuple[Step, Numbers, Any]], slips: Sequence[str] | None = None) -> list[str]:
    """The steps in words and in code, each checked, behind its slip if it has one."""
    slips = slips or [""] * len(trace)
    return [
        f"Step {number}: {step.text}: {slip}{_checked(step, before, after)}"
        for number, ((step, before, after), slip) in enumerate(zip(trace, slips, strict=True), start=1)
    ]


def _slip(step: Step, before: Numbers, rng: random.Random) -> str:
    """A related operation taken by mistake, and noticed; nothing where no such mistake shows on the example."""
    family = next(family for family in _FAMILIES if step.op in family)
    wrong = [_step(op, rng) for op in family if op != step.op]
    visible = [other for other in wrong if other.run(before) != step.run(before)]
    if not visible:
        return ""
    other = rng.choice(visible)
    return (
        f"{other.line()}. Check: {before} gives {other.run(before)}. "
        f"Wait, that is wrong. It should be {step.run(before)}. So "
    )


def _example(program: list[Step], rng: random.Random) -> Numbers:
    """Three small integers on which as many steps as possible do something and leave something."""
    draws = [_numbers(rng, 3) for _ in range(20)]
    return max(draws, key=lambda xs: sum(after not in (before, []) for _, before, after in _trace(program, xs)))


def _numbers(rng: random.Random, length: int) -> Numbers:
    """Small integers, some negative; one of two lists repeats a number."""
    numbers = [rng.randint(-9, 20) for _ in range(length)]
    if length > 1 and rng.random() < 0.5:
        numbers[-1] = rng.choice(numbers[:-1])
        rng.shuffle(numbers)
    return numbers


def _discriminating_inputs(program: list[Step], prompt: str) -> list[Numbers] | None:
    """The empty list and the inputs that tell the program from most of its near misses.

    The draw depends on the prompt only. None if one step or all of them can be left out unnoticed, or if a constant
    would pass: the problem is then not what it says.
    """
    rng = random.Random(prompt)
    candidates = [_numbers(rng, rng.randint(5, 8)) for _ in range(_CANDIDATES)]
    shorter = [program[-1:], *(program[:i] + program[i + 1 :] for i in range(len(program) - 1))]
    near_misses = shorter + _changed(program)
    distinguished = [
        {i for i, other in enumerate(near_misses) if _run(other, xs) != expected}
        for xs, expected in ((xs, _run(program, xs)) for xs in candidates)
    ]
    chosen: list[Numbers] = [[]]
    remaining = set(range(len(near_misses)))
    while len(chosen) < _TEST_COUNT:
        # Once nothing new can be told apart, telling much apart again is next best.
        best = max(range(len(candidates)), key=lambda i: (len(distinguished[i] & remaining), len(distinguished[i])))
        remaining -= distinguished.pop(best)
        chosen.append(candidates.pop(best))
    answers = {str(_run(program, xs)) for xs in chosen}
    return chosen if len(answers) > 1 and remaining.isdisjoint(range(len(shorter))) else None


def _changed(program: list[Step]) -> list[list[Step]]:
    """The program with two neighbouring steps swapped, with a k that is one off, and with another final."""
    *steps, final = program
    swapped = [[*steps[:i], steps[i + 1], steps[i], *steps[i + 2 :], final] for i in range(len(steps) - 1)]
    off_by_one = [
        [*steps[:i], Step(step.op, step.k + 1, step.text), *steps[i + 1 :], final] for i, step in enumerate(steps)
    ]
    other_final = [[*steps, Step(op, 0, "")] for op in _FINALS if op != final.op]
    return swapped + off_by_one + other_final
