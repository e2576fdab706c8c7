"""The one entry to all verifiers: a problem and a response in, a verdict out."""

import atexit
import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.reasoning import UNFINISHED, answer_of
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.sandbox import (
    CallRunner,
    Case,
    Program,
    ProgramRunner,
    RemoteSandbox,
    find_confinement,
    missing_isolation,
    remote_or,
    worker_count,
)
from afterbase.verify import maths, puzzle
from afterbase.verify.answer_context import NO_CONTEXT, AnswerContext
from afterbase.verify.extract import WITHOUT_MARK
from afterbase.verify.ifeval.follow import check_ifeval
from afterbase.verify.match import check_choice, check_exact
from afterbase.verify.maths import check_maths_many
from afterbase.verify.own.own_function import OWN, OwnFunction, of_problem
from afterbase.verify.own.own_verdicts import OwnAnswer, judge_own
from afterbase.verify.puzzle import check_puzzle_many
from afterbase.verify.python_code import Item, check_python_many
from afterbase.verify.rubric import check_rubric

Answers = Sequence[tuple[dict[str, Any], str]]
"""(spec, response) of each answer to be judged."""

NONE = "none"
"""The verifier of a problem that has no rule: rules of the reward, or a reward model, judge its answers."""
NO_RULE, CUT_OFF = "no_rule", "cut_off"


def check(problem: Problem, response: str) -> Verdict:
    """The verdict on one response; see `check_many`.

    >>> problem = Problem(domain="toy", prompt="A or B?", gold="Answer: B", verifier="choice", spec={"answer": "B"})
    >>> verdict = check(problem, "A is wrong. Answer: B")
    >>> str(verdict.status), verdict.value, verdict.reason
    ('ok', 1.0, 'match')
    """
    return check_many([(problem, response)])[0]


def check_many(pairs: Iterable[tuple[Problem, str]], contexts: Sequence[AnswerContext] | None = None) -> list[Verdict]:
    """One verdict for each (problem, response), in order; programs run side by side.

    What is judged is the answer; a response whose thought never ends has none, and is wrong (`core/reasoning.py`). One
    that the budget cut off, as its context says, has an answer only where it marks one (a box, "the answer is"): of an
    unfinished text the last number says nothing. `credit_cut_off` in a problem's spec gives credit all the same.
    The user's own functions see the whole response and the context. A problem without a rule is `failed`, `no_rule`.

    Raises UserError for a verifier that does not exist, and where programs cannot be isolated: nothing is run then.

    >>> problem = Problem(domain="toy", prompt="A or B?", gold="Answer: B", verifier="choice", spec={"answer": "B"})
    >>> [str(verdict.status) for verdict in check_many([(problem, "Answer: B"), (problem, "Answer: A")])]
    ['ok', 'wrong']
    """
    pairs = list(pairs)
    contexts = [NO_CONTEXT] * len(pairs) if contexts is None else contexts
    places: dict[str, list[tuple[int, dict[str, Any], str]]] = defaultdict(list)
    own: dict[OwnFunction, list[int]] = defaultdict(list)
    verdicts: dict[int, Verdict] = {}
    for place, ((problem, response), context) in enumerate(zip(pairs, contexts, strict=True)):
        verifier = problem.verifier
        if verifier == OWN:
            own[of_problem(problem.spec)].append(place)
            continue
        if verifier == NONE:
            verdicts[place] = Verdict(verifier=NONE, status=Status.FAILED, value=0.0, reason=NO_RULE)
            continue
        _judge(verifier)
        spec = _of_cut_off(problem.spec) if context.truncated else problem.spec
        answer = answer_of(response)
        if answer is None or spec is None:
            reason = UNFINISHED if answer is None else CUT_OFF
            verdicts[place] = Verdict(verifier=verifier, status=Status.WRONG, value=0.0, reason=reason)
        else:
            places[verifier].append((place, spec, answer))
    for verifier, group in places.items():
        judged = _safely(verifier, [(spec, answer) for _, spec, answer in group])
        verdicts.update(zip((place for place, _, _ in group), judged, strict=True))
    for function, asked in own.items():
        judged = judge_own(function, [OwnAnswer(*pairs[place], contexts[place]) for place in asked])
        verdicts.update(zip(asked, judged, strict=True))
    return [verdicts[place] for place in range(len(pairs))]


def _of_cut_off(spec: dict[str, Any]) -> dict[str, Any] | None:
    """The spec with the ways that find a marked answer alone; None where there is none of them."""
    if "answer_by" not in spec or spec.get("credit_cut_off", False):
        return spec
    marked = [way for way in spec["answer_by"] if way not in WITHOUT_MARK]
    return {**spec, "answer_by": marked} if marked else None


def _safely(verifier: str, answers: Answers) -> list[Verdict]:
    """The verdicts; where one answer makes a verifier raise, that is `failed`, and the others are judged without it."""
    judge = _judge(verifier)
    try:
        return judge(answers)
    except UserError:
        raise
    except Exception:
        if len(answers) > 1:
            return [verdict for answer in answers for verdict in _safely(verifier, [answer])]
        return [Verdict(verifier=verifier, status=Status.FAILED, value=0.0, reason="verifier_error")]


def audit(problems: Iterable[Problem]) -> list[tuple[Problem, Verdict]]:
    """The problems whose gold response is not accepted, with the verdict; those without gold or rule are left out.

    >>> problem = Problem(domain="toy", prompt="A or B?", gold="Answer: A", verifier="choice", spec={"answer": "B"})
    >>> [(rejected.gold, verdict.reason) for rejected, verdict in audit([problem])]
    [('Answer: A', 'mismatch')]
    """
    golds = [(p, p.gold) for p in problems if p.gold is not None and p.verifier != NONE]
    verdicts = check_many(golds)
    return [
        (problem, verdict) for (problem, _), verdict in zip(golds, verdicts, strict=True) if verdict.status != Status.OK
    ]


def _maths(answers: Answers) -> list[Verdict]:
    return check_maths_many(
        [
            maths.Item(response, spec["answer"], spec.get("answer_by", ("box",)), spec.get("evaluated", True))
            for spec, response in answers
        ]
    )


def _python(answers: Answers) -> list[Verdict]:
    items = [Item(response, spec["function"], spec["tests"]) for spec, response in answers]
    return check_python_many(items, _shared_sandbox())


def _program(answers: Answers) -> list[Verdict]:
    programs = [
        Program(spec["language"], response, [Case(test["stdin"], test["stdout"]) for test in spec["tests"]])
        for spec, response in answers
    ]
    return _shared_judge().verdicts(programs)


def _puzzle(answers: Answers) -> list[Verdict]:
    return check_puzzle_many(
        [
            puzzle.Item(response, spec["dataset"], spec["entry"], spec.get("answer_by", ("box",)))
            for spec, response in answers
        ]
    )


def _rubric(answers: Answers) -> list[Verdict]:
    return [check_rubric(response=response, spec=spec) for spec, response in answers]


def _ifeval(answers: Answers) -> list[Verdict]:
    return [check_ifeval(response=response, spec=spec) for spec, response in answers]


def _exact(answers: Answers) -> list[Verdict]:
    return [check_exact(response=response, spec=spec) for spec, response in answers]


def _choice(answers: Answers) -> list[Verdict]:
    return [check_choice(response=response, spec=spec) for spec, response in answers]


_VERIFIERS: dict[str, Callable[[Answers], list[Verdict]]] = {
    "choice": _choice,
    "exact": _exact,
    "ifeval": _ifeval,
    "maths": _maths,
    "program": _program,
    "python": _python,
    "reasoning_gym": _puzzle,
    "rubric": _rubric,
}


def _judge(verifier: str) -> Callable[[Answers], list[Verdict]]:
    if verifier not in _VERIFIERS:
        raise UserError(
            f"a problem's verifier is one of {', '.join([*_VERIFIERS, OWN, NONE])}",
            got=repr(verifier),
            remedy="correct `verifier` in the domain that makes the problem",
        )
    return _VERIFIERS[verifier]


@functools.cache
def _shared_judge() -> ProgramRunner | RemoteSandbox:
    return remote_or(lambda: ProgramRunner(confinement=find_confinement(), workers=worker_count()))


@functools.cache
def _shared_sandbox() -> CallRunner | RemoteSandbox:
    return remote_or(_sandbox)


def _sandbox() -> CallRunner:
    missing = missing_isolation()
    if missing is not None:
        raise UserError(
            "programs are run in isolation or not at all",
            got=missing,
            remedy="use Linux on x86-64 with Landlock and seccomp, or leave the code domain out of the recipe",
        )
    sandbox = CallRunner()
    atexit.register(sandbox.close)
    return sandbox
