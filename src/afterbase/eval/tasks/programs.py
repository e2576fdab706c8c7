"""Whole programs as answers: which tests they pass, in the sandbox of `afterbase.verify.programs`.

A program in Python or C++ is told by the tag of the response's last block; without a block the response is a program.
"""

import re
from collections.abc import Sequence

from afterbase.core.errors import UserError
from afterbase.core.sample import Status
from afterbase.eval.tasks.task import Mark
from afterbase.verify.isolation import jail
from afterbase.verify.languages import language_of
from afterbase.verify.program_cases import workers
from afterbase.verify.programs import Judge, Program

_BLOCK = re.compile(r"^[ \t]*```[ \t]*([\w+#]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


def isolation() -> str | None:
    """What keeps programs from being run here."""
    try:
        jail()
    except UserError as error:
        return f"isolation: {error.got}"
    return None


def last_program(response: str, *, default: str, languages: Sequence[str]) -> tuple[str, str]:
    """Language and text of the last block in one of the languages; `default` for a block without a tag or no block."""
    blocks = [(tag.lower() or default, text) for tag, text in _BLOCK.findall(response)]
    known = [(tag, text) for tag, text in blocks if tag in languages]
    if known:
        tag, text = known[-1]
        return language_of(tag).name, text
    return default, blocks[-1][1] if blocks else response


def marks(programs: Sequence[Program]) -> list[Mark]:
    """1 for a program that passes all its tests."""
    verdicts = Judge(jail=jail(), workers=workers()).verdicts(programs)
    return [Mark(v.value, None, v.reason, failed=v.status is Status.FAILED) for v in verdicts]
