"""The walls that this machine can build, and one program in them."""

import pytest

from afterbase.core.errors import UserError
from afterbase.sandbox import isolation
from afterbase.sandbox.confinement import Bubblewrap, Confinement, Landlock, Limits
from afterbase.sandbox.languages import SPELLINGS, toolchain
from afterbase.sandbox.process import Ended
from afterbase.sandbox.program_run import ProgramRun, work_dir

KINDS = {kind.name: kind for kind in (Bubblewrap(), Landlock())}
SMALL = Limits(cpu_seconds=1, wall_seconds=4.0, memory_bytes=128 << 20, processes=24, output_bytes=1 << 16)
SHORT = Limits(cpu_seconds=1, wall_seconds=1.5, memory_bytes=128 << 20, processes=24)


def confinement_or_skip(name: str = "strongest") -> Confinement:
    """The walls of this name; the test is skipped, with the reason, where they do not hold."""
    try:
        if name == "strongest":
            return isolation.find_confinement()
    except UserError as error:
        pytest.skip(error.got)
    missing = isolation.open_in(KINDS[name])
    if missing is not None:
        pytest.skip(f"{name}: {missing}")
    return KINDS[name]


def skip_without_tools(language: str) -> None:
    """Skip the test, with the reason, where the language cannot be run."""
    try:
        toolchain(SPELLINGS[language])
    except UserError as error:
        pytest.skip(f"{error.rule}: {error.got}")


def ended(
    confinement: Confinement, text: str, *, language: str = "python", stdin: str = "", limits: Limits = SMALL
) -> Ended:
    """How one run of a program ends that needs no building."""
    with work_dir() as place:
        run = ProgramRun(
            language=SPELLINGS[language], text=text, work_dir=place, confinement=confinement, limits=limits
        )
        assert run.fault_of_building() is None
        return run.ended(stdin)
