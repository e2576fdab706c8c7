"""The walls for who is not root, whose files and processes have the program's own user. Needs root, to be another."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import afterbase

USER = 61_900
RUNNER = """
import json, os, sys
from afterbase.sandbox.isolation import open_in
from afterbase.sandbox.confinement import Bubblewrap, Landlock, Limits
from afterbase.sandbox.programs import Case, ProgramRunner, Program
from afterbase.sandbox.program_run import ProgramRun
asked = json.load(sys.stdin)
confinement = {kind.name: kind for kind in (Bubblewrap(), Landlock())}[asked["kind"]]
missing = open_in(confinement)
if missing:
    sys.exit(json.dumps({"missing": missing}))
limits = Limits(cpu_seconds=2, wall_seconds=8.0, memory_bytes=128 << 20, processes=24)
head = f"import os, sys, time\\nrunner, theirs = {os.getpid()}, {asked['theirs']!r}\\n"
programs = [Program("python", head + text, [Case("", "6"), Case("", "6")]) for text in asked["programs"]]
print(json.dumps(ProgramRunner(confinement=confinement, limits=limits).reasons(programs, all_tests=False)))
"""
REFUSED = {
    "mode": "os.chmod(theirs, 0)",
    "times": "os.utime(theirs, (0, 0))",
    "attribute": "os.setxattr(theirs, 'user.x', b'x')",
    "content": "open(theirs, 'w')",
    "name": "os.rename(theirs, theirs + 'x')",
    "removal": "os.remove(theirs)",
    "signal": "os.kill(runner, 9)",
    "everybody": "os.kill(-1, 9)\nraise OSError",
    "limits": "import resource\nresource.prlimit(runner, resource.RLIMIT_NOFILE, (0, 0))",
    "priority": "os.setpriority(os.PRIO_USER, os.getuid(), 19)",
    "processors": "os.sched_setaffinity(runner, {0})",
    "memory of the runner": "open(f'/proc/{runner}/mem', 'rb+')",
    "memory of the first process": "open('/proc/1/mem', 'rb+')",
    "memory of the parent": "open(f'/proc/{os.getppid()}/mem', 'rb+')",
    "more processes": "while True: os.fork()",
}
HARMLESS = {
    "sum": "print(6)",
    "closed folders": "os.chdir(os.environ['TMPDIR'])\nos.umask(0o777)\nfor n in range(9): os.mkdir(str(n))\nprint(6)",
    "closed in the middle": "os.chdir(os.environ['TMPDIR'])\nos.mkdir('a', 0o700)\nos.mkdir('a/b', 0)\nprint(6)",
    "its own folder": "for path in (os.environ['TMPDIR'], os.path.dirname(sys.argv[0])):\n"
    "    try: os.chmod(path, 0)\n    except OSError: pass\nprint(6)",
}


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A file of the user, in a folder of theirs that everybody may enter."""
    folder = Path("/tmp", f"theirs-{os.getpid()}")
    folder.mkdir()
    file = folder / "file"
    file.write_text("theirs")
    os.utime(file, (10**9, 10**9))
    for path in (folder, file):
        os.chown(path, USER, USER)
    yield file
    shutil.rmtree(folder)


def reasons(kind: str, theirs: Path, programs: list[str]) -> list[list[str]]:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can be another user, by setpriv")
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    packages = [str(Path(module.__file__ or "").parents[1]) for module in (afterbase, pytest)]
    if not Path(python).exists() or any(not os.stat(path).st_mode & 0o5 for path in packages):
        pytest.skip(f"{python} and the packages must be there for all users")
    done = subprocess.run(
        ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", python, "-B", "-c", RUNNER],
        input=json.dumps({"kind": kind, "theirs": str(theirs), "programs": programs}).encode(),
        capture_output=True,
        cwd="/",
        env={"PATH": os.defpath, "PYTHONPATH": ":".join(packages)},
    )
    if b'"missing"' in done.stderr:
        pytest.skip(done.stderr.decode())
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
def test_what_is_the_user_s_is_out_of_reach(kind: str, theirs: Path) -> None:
    """All in one batch: what one program does costs no other its verdict, and nothing is left of any."""
    before = theirs.stat()
    found = reasons(kind, theirs, [*REFUSED.values(), *HARMLESS.values()])
    assert dict(zip([*REFUSED, *HARMLESS], found, strict=True)) == {
        **{name: ["crash"] for name in REFUSED},
        **{name: ["match", "match"] for name in HARMLESS},
    }
    after = theirs.stat()
    assert (after.st_mode, after.st_mtime, after.st_uid) == (before.st_mode, before.st_mtime, before.st_uid)
    assert theirs.read_text() == "theirs"
    assert not [path for path in Path("/tmp").glob("afterbase-room-*") if path.stat().st_uid == USER]
