"""Whether a response follows its instructions, by the two readings of IFEval, and the accuracies made of that.

Strict reads the response as it stands. Loose is content if any of eight readings follows the instruction: with and
without its first line, its last line, and asterisks. An empty reading follows nothing, and neither does one that is far
longer than any answer.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from afterbase.core.errors import UserError
from afterbase.core.reasoning import answer_of
from afterbase.core.sample import Status, Verdict
from afterbase.verify.ifeval.catalogue import build
from afterbase.verify.ifeval.instruction import Instruction

VERIFIER = "ifeval"
MOST_CHARACTERS = 100_000
"""NLTK takes up to 50 microseconds for a character."""
FOLLOWED = "followed"
TIMEOUT = "timeout"


class Reading(StrEnum):
    """How generously a response is read."""

    STRICT = "strict"
    LOOSE = "loose"


class Accuracy(NamedTuple):
    """Shares in [0, 1]: of prompts with every instruction followed, and of instructions followed."""

    prompt: float
    instruction: float


def follows(instruction: Instruction, response: str, *, reading: Reading) -> bool:
    """Whether the answer, without its thought, follows one instruction.

    An answer that there is not follows none, nor does one of more than `MOST_CHARACTERS`.
    """
    answer = answer_of(response) or ""
    if len(answer) > MOST_CHARACTERS:
        return False
    texts = _loosely(answer) if reading is Reading.LOOSE else [answer]
    return any(text.strip() and instruction.followed(text) for text in texts)


def accuracy(answers: Iterable[tuple[Sequence[Instruction], str]], *, reading: Reading) -> Accuracy:
    """Prompt-level and instruction-level accuracy over (instructions, response); UserError if there are none."""
    followed = [[follows(one, response, reading=reading) for one in each] for each, response in answers]
    flat = [one for each in followed for one in each]
    if not flat:
        raise UserError(
            "accuracy is that of at least one instruction", got="none", remedy="give answers with instructions"
        )
    return Accuracy(prompt=sum(map(all, followed)) / len(followed), instruction=sum(flat) / len(flat))


def check_ifeval(*, response: str, spec: dict[str, Any]) -> Verdict:
    """Whether every instruction is followed; value 1 or 0, the reason is the first one that is not, or `followed`.

    `spec`: `instructions` ([{id, kwargs}]), and `reading` (strict, where it says nothing). UserError for another spec.
    """
    instructions, reading = read_spec(spec)
    missed = (name for name, one in instructions if not follows(one, response, reading=reading))
    try:
        reason = next(missed, FOLLOWED)
    except TimeoutError:  # NLTK gives each of its expressions five seconds
        return Verdict(verifier=VERIFIER, status=Status.FAILED, value=0.0, reason=TIMEOUT)
    ok = reason == FOLLOWED
    return Verdict(verifier=VERIFIER, status=Status.OK if ok else Status.WRONG, value=float(ok), reason=reason)


def read_spec(spec: dict[str, Any]) -> tuple[list[tuple[str, Instruction]], Reading]:
    """The instructions by their ids, and the reading; UserError for a spec that is none."""
    try:
        listed = [(one["id"], build(one["id"], one.get("kwargs") or {})) for one in spec["instructions"]]
        reading = Reading(spec.get("reading", Reading.STRICT))
    except UserError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _malformed(f"{type(error).__name__}: {error}") from error
    if not listed:
        raise _malformed("no instruction")
    return listed, reading


def _malformed(got: str) -> UserError:
    return UserError(
        "an `ifeval` problem's spec has `instructions` ([{id, kwargs}]) and may have `reading` (strict, loose)",
        got=got,
        remedy="correct the spec in the domain that makes the problem",
    )


def _loosely(response: str) -> list[str]:
    """The readings, each once, the plain one first."""
    lines = response.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    return list(dict.fromkeys([response, *cut, *(text.replace("*", "") for text in (response, *cut))]))
