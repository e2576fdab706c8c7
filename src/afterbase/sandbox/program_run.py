"""One program in its folder: written down, built, run test by test, and cleared away."""

import contextlib
import dataclasses
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from afterbase.core.temporary_folders import clear, scratch_folder
from afterbase.sandbox.confinement import SCRATCH, Confinement, Limits, WorkDir
from afterbase.sandbox.languages import Language, java_names, toolchain, typescript_library
from afterbase.sandbox.process import Ended, run
from afterbase.sandbox.python_calls import Reason
from afterbase.sandbox.users import USERS, run_user

BUILDING = Limits(cpu_seconds=20, wall_seconds=40.0, memory_bytes=1 << 30, address_bytes=None, file_bytes=128 << 20)
_OUT_OF_MEMORY = re.compile(
    rb"MemoryError|std::bad_alloc|OutOfMemoryE|JavaScript heap out of memory|Array buffer allocation failed"
    rb"|Allowed memory size of|cannot allocate [0-9]+ bytes|Cannot allocate memory"
)


@contextlib.contextmanager
def work_dir() -> Iterator[WorkDir]:
    """A folder for one program, and a user of its own where this process is root."""
    with scratch_folder(USERS) as folder, run_user() as user:
        if user is not None:
            os.chown(folder, user, user)
        yield WorkDir(folder=folder, user=user)


@dataclass(frozen=True, kw_only=True)
class ProgramRun:
    """A program and where it is run, until it is `unwanted`. Retries once what ended by our own fault."""

    language: Language
    text: str
    work_dir: WorkDir
    confinement: Confinement
    limits: Limits
    unwanted: Callable[[], bool] = lambda: False

    def fault_of_building(self) -> str | None:
        """Write the source down and build it; the reason why that failed, if it did."""
        source = self.work_dir.folder / self._filled([self.language.file])[0]
        source.write_bytes(self.text.encode(errors="surrogatepass"))
        source.chmod(0o644)
        if self.language.build is None:
            return None
        ended = self._run(self.language.build, BUILDING, building=True)
        if self.language.executable is not None:
            make_executable(self.work_dir.folder / self.language.executable)
        if ended.reason in (Reason.CRASH, Reason.OUTPUT):
            return str(Reason.COMPILE)
        return None if ended.reason is Reason.OK else str(ended.reason)

    def reason(self, *, stdin: str, stdout: str) -> str:
        """Run the program on one test: match, mismatch, or how it ended."""
        ended = self.ended(stdin)
        if ended.reason is Reason.OK:
            printed = ended.stdout.decode(errors="surrogateescape")  # equal to no text if it is none
            return "match" if lines_of(printed) == lines_of(stdout) else "mismatch"
        if ended.reason is Reason.CRASH:
            if _OUT_OF_MEMORY.search(ended.stderr):
                return str(Reason.MEMORY)
            if self._source_is_broken:
                return str(Reason.COMPILE)
        return str(ended.reason)

    def ended(self, stdin: str) -> Ended:
        """Run the program once."""
        return self._run(self.language.run, self.limits, stdin=stdin.encode(errors="surrogatepass"))

    @cached_property
    def _source_is_broken(self) -> bool:
        return self.language.check is not None and self._run(self.language.check, BUILDING).reason is Reason.CRASH

    def _run(self, command: Sequence[str], limits: Limits, *, stdin: bytes = b"", building: bool = False) -> Ended:
        if self.language.reserves:
            limits = dataclasses.replace(limits, address_bytes=None)
        ended = self._once(command, limits, stdin, building)
        ours = ended.reason is Reason.SANDBOX and not self.unwanted()
        return self._once(command, limits, stdin, building) if ours else ended

    def _once(self, command: Sequence[str], limits: Limits, stdin: bytes, building: bool) -> Ended:
        scratch = self.work_dir.folder / SCRATCH
        scratch.mkdir()
        try:
            if self.work_dir.user is not None:
                os.chown(scratch, self.work_dir.user, self.work_dir.user)
            work_dir = dataclasses.replace(self.work_dir, prefixes=self._prefixes)
            filled = self._filled(command)
            return run(
                self.confinement, filled, work_dir, limits, stdin=stdin, building=building, unwanted=self.unwanted
            )
        finally:
            if not clear(scratch):
                with contextlib.suppress(OSError):  # this run has its verdict all the same
                    scratch.rename(tempfile.mkdtemp(dir=self.work_dir.folder))  # out of the next one's way

    @cached_property
    def _tools(self) -> dict[str, Path]:
        return toolchain(self.language)

    @cached_property
    def _prefixes(self) -> list[str]:
        """Folders of tools that do not lie in /usr."""
        prefixes = {path.parent.parent for path in self._tools.values() if not path.is_relative_to("/usr")}
        return sorted(str(prefix) for prefix in prefixes if prefix != Path("/"))

    def _filled(self, command: Sequence[str]) -> list[str]:
        """The command with paths for names."""
        file, main = java_names(self.text) if self.language.name == "java" else ("", "")
        names = {
            "{work}": self.confinement.inside(self.work_dir),
            "{heap}": str(self.limits.memory_bytes // 2 >> 20),
            "{stack}": str(self.limits.stack_bytes * 7 // 8 >> 10),  # the rest is for what recursion calls at last
            "{file}": file,
            "{main}": main,
            "{typescript}": str(typescript_library(self._tools["tsc"])) if "tsc" in self._tools else "",
        }
        words = [re.sub(r"\{\w+\}", lambda found: names.get(found.group(), found.group()), word) for word in command]
        return [str(self._tools.get(words[0], words[0])), *words[1:]]


def make_executable(path: Path) -> None:
    """What a linker does at last, and may not behind Landlock; of what else may lie there, nothing is touched."""
    with contextlib.suppress(OSError):  # there is none, a link, a file that is closed to us: it does not run then
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            state = os.fstat(file)
            if stat.S_ISREG(state.st_mode) and state.st_nlink == 1:
                os.fchmod(file, 0o755)
        finally:
            os.close(file)


def lines_of(text: str) -> list[str]:
    """Lines without the blank space at their ends, and without the empty lines after the last."""
    return [line.rstrip() for line in text.rstrip().split("\n")]
