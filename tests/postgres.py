"""A PostgreSQL cluster of the test's own, on a socket of its own; skips where there is none installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def cluster() -> Iterator[str]:
    """The address of an empty database, until the block ends."""
    pytest.importorskip("psycopg")
    tool = shutil.which("pg_ctl")
    if tool is None:
        pytest.skip("needs PostgreSQL's pg_ctl")
    owner = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())  # it refuses to run as root
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        os.chown(name, owner.pw_uid, owner.pw_gid)
        data, log = Path(name) / "data", Path(name) / "log"

        def call(*arguments: str) -> None:
            subprocess.run(
                [tool, "-D", str(data), *arguments], check=True, stdout=subprocess.DEVNULL, user=owner.pw_uid,
                group=owner.pw_gid, cwd=name,
            )  # fmt: skip

        call("init", "-o", "--auth=trust --username=postgres --no-sync --encoding=UTF8")
        call("start", "-w", "-l", str(log), "-o", f"-c listen_addresses='' -c fsync=off -k {name}")
        try:
            yield f"postgresql:///postgres?host={name}&user=postgres"
        finally:
            call("stop", "-m", "immediate")
