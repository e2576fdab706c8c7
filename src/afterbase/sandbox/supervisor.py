"""Runs one command where there is no bubblewrap: confines it, waits for it, and leaves none of its processes behind.

Run as a script by a plain interpreter; the request is the first argument, as JSON. On the status descriptor it says
what bubblewrap would: {"child-pid": n} and, if the command was run at all, {"exit-code": n}. The command leads a
process group which it cannot leave (seccomp refuses that); what is orphaned comes to this process, which kills it.

Does not cover: a private /tmp. Without confinement (`confinement` is null) only the limits and the killing are left.

Constants: linux/prctl.h.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
from afterbase.sandbox import kernel

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_NOT_RUN = 127


def _enter(request: dict) -> None:
    """In the fork: another user if this one is root, the limits, then the confinement."""
    os.setsid()
    os.chdir(request["folder"])
    if request["user"] is not None:
        os.setgroups([])
        os.setresgid(*[request["user"]] * 3)
        os.setresuid(*[request["user"]] * 3)
    for name, value in request["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), value)
    if request["confinement"] is not None:
        kernel.drop_privileges()
        kernel.landlock([*map(tuple, request["confinement"]["paths"]), (f"/proc/{os.getpid()}", kernel.READ_FILES)])
        kernel.load_filter(bytes.fromhex(request["confinement"]["seccomp"]))


def _child(request: dict, fault: int) -> None:
    """In the fork, never to return; `fault`, which the command does not inherit, takes what went wrong before it."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _enter(request)
        os.execve(request["command"][0], request["command"], request["environment"])
    except BaseException as error:
        os.write(fault, str(error).encode())
    finally:
        os._exit(_NOT_RUN)


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def _reap_all() -> None:
    """Kill whoever is left; a process whose parent dies becomes a child of this one."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while left := children.read_text().split():
        for pid in map(int, left):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main() -> None:
    """Run the command to its end; SIGTERM, and the death of whoever started this, end it at once."""
    request, status = json.loads(sys.argv[1]), int(sys.argv[2])
    kernel.process_control("subreaper", _PR_SET_CHILD_SUBREAPER, 1)
    os.set_inheritable(status, False)  # or the program could tell its own end
    fault, fault_end = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until `end` knows whom to kill
    child = os.fork()
    if child == 0:
        _child(request, fault_end)
    os.close(fault_end)

    def end(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # before it has a group of its own
        _kill_group(child)

    signal.signal(signal.SIGTERM, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    kernel.process_control("parent's death", _PR_SET_PDEATHSIG, signal.SIGTERM)
    os.write(status, json.dumps({"child-pid": child}).encode() + b"\n")
    message = os.read(fault, 1 << 10)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its number stays taken until the group is dead
    _kill_group(child)
    _, code = os.waitpid(child, 0)
    _reap_all()
    if message:
        os.write(2, message)
    else:
        signalled = 128 + os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code)
        os.write(status, json.dumps({"exit-code": signalled}).encode() + b"\n")


if __name__ == "__main__":
    main()
