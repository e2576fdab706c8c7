"""Several real processes that work together as under `torchrun`, each running one script."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def start(script: Path, *arguments: str | Path, size: int = 2) -> list[subprocess.Popen[str]]:
    """The script in `size` processes with the variables that `torchrun` sets; alone it gets none of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(size):
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        environment |= {key: str(value) for key, value in ranks.items()} if size > 1 else {}
        command = [sys.executable, script, *arguments]
        processes.append(subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE))
    return processes


def finish(processes: Sequence[subprocess.Popen[str]], *, within: float = 300) -> list[tuple[int, str]]:
    """Exit status and standard error of each; what does not end in time is killed and fails the test."""
    try:
        errors = [process.communicate(timeout=within)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


def run(script: Path, *arguments: str | Path, size: int = 2) -> None:
    """`start` and `finish`, where all must end well."""
    for status, error in finish(start(script, *arguments, size=size)):
        assert status == 0, error
