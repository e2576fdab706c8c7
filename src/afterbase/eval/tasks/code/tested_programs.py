"""Whole programs as answers: which tests they pass, in the sandbox of `afterbase.sandbox.programs`.

The tag of the answer's last block names the language; without a block the answer is a program. A thought is none.
"""

from collections.abc import Sequence

from afterbase.core.code.code_blocks import last_block
from afterbase.core.code.code_fences import fenced
from afterbase.core.errors import UserError
from afterbase.core.reasoning import answer_of
from afterbase.core.sample import Status
from afterbase.eval.tasks.task import Mark
from afterbase.sandbox import Program, ProgramRunner, find_confinement, language_of, worker_count


def isolation() -> str | None:
    """What keeps programs from being run here."""
    try:
        find_confinement()
    except UserError as error:
        return f"isolation: {error.got}"
    return None


def last_program(response: str, *, default: str, languages: Sequence[str]) -> tuple[str, str]:
    """Language and text of the program, `default` without a tag; the language is that of the last block with a tag."""
    answer = answer_of(response) or ""
    spoken = [language_of(name) for name in languages]
    tagged = [one for block in fenced(answer) for one in spoken if block.is_in(tuple(one.spellings))]
    language = tagged[-1] if tagged else language_of(default)
    text = last_block(answer, language.spellings)
    return language.name, answer if text is None else text


def marks(programs: Sequence[Program]) -> list[Mark]:
    """1 for a program that passes all its tests."""
    verdicts = ProgramRunner(confinement=find_confinement(), workers=worker_count()).verdicts(programs)
    return [Mark(v.value, None, v.reason, failed=v.status is Status.FAILED) for v in verdicts]
