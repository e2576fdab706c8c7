"""Sandboxed tests a second, how long the slowest wait, and what thousands of hostile programs leave behind.

    PYTHONPATH=src python benchmarks/sandbox.py [--json] [--programs 10000] [--jail landlock]

Two ways of running Python: `calls` are function calls in a fork of a warm interpreter, `programs` are processes with
stdin and stdout of their own. There is no peer: what others offer has no walls.
"""

import argparse
import os
import time
from collections import Counter
from pathlib import Path

from measures import tell

from afterbase.sandbox import isolation
from afterbase.sandbox.confinement import Confinement, Landlock, Limits
from afterbase.sandbox.launcher_client import close_idle
from afterbase.sandbox.programs import Case, Program, ProgramRunner
from afterbase.sandbox.python_calls import CallRunner, Run

PASSING = "import sys\nprint(sum(map(int, sys.stdin.read().split())))"
HOSTILE = [
    "import os\nwhile True: os.fork()",
    "import os\nos.kill(-1, 9)",
    "import os, time\nif os.fork() == 0:\n    os.closerange(0, 99)\n    time.sleep(999)",
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(999)\nprint(open('/etc/passwd').read())",
    "import socket\nsocket.create_connection(('127.0.0.1', 22))",
    "import os, signal\nfor n in range(64): os.fork()",
    "while True: print('x' * 10 ** 5)",
    "x = 'x' * 10 ** 12",
    "import os\nfor n in range(99): open(f\"{os.environ['TMPDIR']}/{n}\", 'wb').write(b'x' * 10 ** 6)",
    "import os\nos.chdir(os.environ['TMPDIR'])\nfor n in range(500): os.mkdir('d'); os.chdir('d')\nos.chmod('.', 0)",
    "import os\nos.symlink('/', os.environ['TMPDIR'] + '/l')\nopen('/usr/x', 'w')",
    "import ctypes, os\nctypes.CDLL(None).ptrace(16, os.getppid())\nopen('/proc/1/mem', 'rb+')",
    "import os\nos.memfd_create('x')",
    "def f(): f()\nf()",
    "import os\nos.abort()",
    "import os\nos._exit(0)",
]
EVERY_64TH = ["while True: pass", "a = []\nwhile True: a.append('x' * 10 ** 6)", "import time\ntime.sleep(999)"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--programs", type=int, default=1_000, help="hostile ones")
    parser.add_argument("--tests", type=int, default=400, help="of each way of running Python")
    parser.add_argument("--jail", choices=["strongest", "landlock"], default="strongest")
    asked = parser.parse_args()
    confinement = Landlock() if asked.jail == "landlock" else isolation.find_confinement()
    workers = len(os.sched_getaffinity(0))
    before = left_behind()
    measure_calls(asked.tests * 10, workers, asked.json)
    measure_programs(confinement, asked.tests, workers, asked.json)
    reasons = run_hostile(confinement, asked.programs, workers)
    tell("hostile_programs", asked.programs, f"programs, {dict(reasons)}", as_json=asked.json)
    after = left_behind()
    for what in before:
        tell(f"left_behind_{what}", after[what] - before[what], what, as_json=asked.json)


def measure_calls(tests: int, workers: int, as_json: bool) -> None:
    run = Run(program="def f(x):\n    return x + 1", function="f", calls=[[1]])
    with CallRunner(workers=workers) as sandbox:
        sandbox.run_many([run] * workers)
        tell("calls_per_second", tests / _seconds(lambda: sandbox.run_many([run] * tests)), "tests/s", as_json=as_json)
        times = [_seconds(lambda: sandbox.run_many([run])) for _ in range(tests // 10)]
    tell("calls_latency_p95", _percentile(times, 95) * 1000, "ms", as_json=as_json)


def measure_programs(confinement: Confinement, tests: int, workers: int, as_json: bool) -> None:
    program = Program("python", PASSING, [Case("1 2 3\n", "6\n")])
    judge = ProgramRunner(confinement=confinement, workers=workers)
    seconds = _seconds(lambda: judge.verdicts([program] * tests))
    tell(f"programs_per_second_{confinement.name}", tests / seconds, "tests/s", as_json=as_json)
    times = [_seconds(lambda: judge.verdicts([program])) for _ in range(tests // 4)]
    tell(f"programs_latency_p95_{confinement.name}", _percentile(times, 95) * 1000, "ms", as_json=as_json)


def run_hostile(confinement: Confinement, programs: int, workers: int) -> Counter[str]:
    """How the programs ended; none may have ended by our own fault."""
    texts = [HOSTILE[n % len(HOSTILE)] if n % 64 else EVERY_64TH[n // 64 % 3] for n in range(programs)]
    limits = Limits(cpu_seconds=1, wall_seconds=3.0, memory_bytes=128 << 20, folder_bytes=16 << 20)
    judge = ProgramRunner(confinement=confinement, workers=2 * workers, limits=limits)
    return Counter(verdict.reason for verdict in judge.verdicts([Program("python", x, [Case("", "6")]) for x in texts]))


def left_behind() -> dict[str, int]:
    """Processes of other users made for runs and children of this one, folders of runs, mounts, open descriptors."""
    close_idle()
    users = Counter(entry.stat().st_uid for entry in Path("/proc").glob("[0-9]*") if entry.exists())
    return {
        "processes": sum(count for user, count in users.items() if 60_706 <= user < 61_184)
        + len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
        "folders": len(list(Path("/tmp").glob("afterbase-room-*"))),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


def _seconds(run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


if __name__ == "__main__":
    main()
