"""The store after kills, full disks and rivals: sound, and the next try finishes."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.core.store import Artifact, Store, Workspace, folder_digest, stage_key

Make = Callable[[Workspace], None]


def _write(text: str, runs: list[str] | None = None) -> Make:
    def make(work: Workspace) -> None:
        (work.payload / "text.txt").write_text(text)
        if runs is not None:
            runs.append(text)

    return make


def _produce(store: Store, make: Make, **changes: Any) -> Artifact:
    settings: dict[str, Any] = {"stage": "toy", "version": 1, "what": {"size": 3}, "inputs": {}, **changes}
    return store.produce("toy stage", **settings, make=make)


# A stage of three steps that resumes from its scratch. It is killed, by itself and for good, where POINT says.
CHILD = """
import os, signal, sys
from pathlib import Path
from afterbase.core import store as module
from afterbase.core.store import Store

root, point = Path(sys.argv[1]), sys.argv[2]

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def make(work):
    done = int((work.scratch / "done").read_text()) if (work.scratch / "done").exists() else 0
    work.rewind(done)
    with (work.scratch / "runs").open("a") as file:
        file.write(f"from {done}\\n")
    for step in range(done + 1, 4):
        work.log(step, 3, loss=1 / step)
        (work.scratch / "done").write_text(str(step))
        if point == "between steps" and step == 2:
            die()
    with (work.payload / "text.txt").open("w") as file:
        file.write("first half, ")
        file.flush()
        temporary = work.payload / f"text.txt.{os.getpid()}"
        temporary.write_text("of a writer that did not finish")
        if point == "half a file":
            die()
        file.write("second half")
    temporary.unlink()

if point == "before the manifest":
    module.write_atomically = lambda path, data, write=module.write_atomically: (
        die() if path.name == "manifest.json" else write(path, data))
if point == "half a manifest":
    def torn(path, data, write=module.write_atomically):
        if path.name == "manifest.json":
            path.with_name("manifest.json.part").write_bytes(data[:20])
            die()
        write(path, data)
    module.write_atomically = torn
if point == "before the rename":
    module.publish = die
if point == "scratch is gone":
    Path.rename = die

Store(root).produce("toy stage", "toy", 1, what={}, inputs={}, make=make)
print("done")
"""
POINTS = ["between steps", "half a file", "before the manifest", "half a manifest", "before the rename"]
POINTS += ["scratch is gone"]


def _child(root: Path, point: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CHILD, root, point], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Artifact:
    root = tmp_path_factory.mktemp("undisturbed")
    assert _child(root, "nowhere").stdout == "done\n"
    return _only_artifact(root)


def _only_artifact(root: Path) -> Artifact:
    [folder] = [p for p in root.iterdir() if p.name != ".work"]
    artifact = Store(root).find(folder.name, "toy stage")
    assert artifact is not None
    return artifact


@pytest.mark.parametrize("point", POINTS)
def test_killed_stage_is_finished_by_the_next_try(tmp_path, undisturbed, point):
    assert _child(tmp_path, point).returncode == -signal.SIGKILL
    assert [p.name for p in tmp_path.iterdir()] == [".work"], "nothing is in place before it is whole"
    assert _child(tmp_path, "nowhere").stdout == "done\n"
    made = _only_artifact(tmp_path)
    assert (made.key, made.digest) == (undisturbed.key, undisturbed.digest)
    assert made.metrics() == undisturbed.metrics()
    assert sorted(p.name for p in made.folder.iterdir()) == ["manifest.json", "metrics.jsonl", "payload"]
    assert sorted(p.name for p in (tmp_path / ".work").iterdir()) == [f"{made.key}.lock"]


@pytest.mark.parametrize(("point", "start"), [("between steps", 2), ("half a file", 3)])
def test_killed_stage_resumes_from_its_scratch(tmp_path, point, start):
    _child(tmp_path, point)
    [scratch] = tmp_path.glob(".work/*/scratch")
    assert (scratch / "done").read_text() == str(start)
    _child(tmp_path, "half a file")
    assert (scratch / "runs").read_text() == f"from 0\nfrom {start}\n"


def test_work_folder_with_a_manifest_is_published_as_it_is(tmp_path):
    donor = _produce(Store(tmp_path / "donor"), _write("text"))
    work = tmp_path / "store/.work" / donor.key
    work.parent.mkdir(parents=True)
    donor.folder.rename(work)
    (work / "scratch").mkdir()
    (work / "environment.json").write_text("{}")
    runs: list[str] = []
    made = _produce(Store(tmp_path / "store"), _write("text", runs))
    assert runs == []
    assert made.digest == donor.digest == folder_digest(made.payload)
    assert sorted(p.name for p in made.folder.iterdir()) == ["manifest.json", "payload"]


def test_artifact_folder_without_a_manifest_is_replaced(tmp_path):
    store = Store(tmp_path)
    key = stage_key("toy", 1, {"size": 3}, {})
    (tmp_path / key / "payload").mkdir(parents=True)
    for name in ("payload/text.txt", "payload/left over", "stray"):
        (tmp_path / key / name).write_text("half of")
    assert store.find(key, "toy stage") is None
    made = _produce(store, _write("the whole"))
    assert made.digest == _produce(Store(tmp_path / "other"), _write("the whole")).digest
    assert [p.name for p in made.payload.iterdir()] == ["text.txt"]


def test_what_a_failed_try_left_in_the_payload_is_gone(tmp_path):
    def fail(work: Workspace) -> None:
        (work.payload / "model.safetensors.tmp1234").write_text("half")
        work.log(1, 1, loss=9.0)
        raise UserError("a rule", got="something", remedy="mend it")

    store = Store(tmp_path)
    with pytest.raises(UserError, match="a rule"):
        _produce(store, fail)
    assert store.stages == []
    made = _produce(store, _write("text"))
    assert [p.name for p in made.payload.iterdir()] == ["text.txt"]
    assert made.metrics() == [], "it had no checkpoint to resume from, so its metrics began anew"


def test_full_disk_leaves_the_store_sound(tmp_path):
    def fill(work: Workspace) -> None:
        (work.payload / "text.txt").write_text("te")
        (work.scratch / "checkpoint").write_text("step 5")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    seen: list[str] = []

    def resume(work: Workspace) -> None:
        seen.append((work.scratch / "checkpoint").read_text())
        _write("text")(work)

    store = Store(tmp_path)
    before = _produce(store, _write("before"), stage="before")
    with pytest.raises(OSError, match="No space left"):
        _produce(store, fill)
    assert store.find(before.key, "toy stage") == before
    assert _produce(store, resume).digest == _produce(Store(tmp_path / "other"), _write("text")).digest
    assert seen == ["step 5"]


@pytest.mark.parametrize(("resumable", "refused"), [(True, True), (False, False)])
def test_resume_under_other_threads_is_refused(tmp_path, resumable, refused):
    def stop(work: Workspace) -> None:
        if resumable:
            (work.scratch / "checkpoint").write_text("step 5")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _produce(Store(tmp_path, threads=1), stop)
    again = Store(tmp_path, threads=2)
    if not refused:  # there is nothing to resume: it begins anew
        _produce(again, _write("text"))
        return
    with pytest.raises(UserError, match="the environment that it began in") as caught:
        _produce(again, _write("text"))
    assert caught.value.got == "threads 1 then, 2 now"
    assert "go back to threads = 1, or delete" in caught.value.remedy
    [work] = [p for p in (tmp_path / ".work").iterdir() if p.is_dir()]
    assert str(work) in caught.value.remedy
    _produce(Store(tmp_path, threads=1), _write("text"))


# Says when it makes and when it waits for the lock; goes on in `make` after a line on standard input.
RIVAL = """
import fcntl, sys
from pathlib import Path
from afterbase.core.store import Store

def flock(file, how, lock=fcntl.flock):
    try:
        lock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waits", flush=True)
        lock(file, how)

def make(work):
    print("makes", flush=True)
    sys.stdin.readline()
    (work.payload / "text.txt").write_text(sys.argv[2])

fcntl.flock = flock
store = Store(Path(sys.argv[1]))
artifact = store.produce("toy stage", "toy", 1, what={}, inputs={}, make=make)
print((artifact.payload / "text.txt").read_text(), store.stages[0].cached, flush=True)
"""


def test_two_processes_do_the_work_once(tmp_path):
    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RIVAL, str(tmp_path), name]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with start("first") as first, start("second") as second:
        assert first.stdout is not None
        assert second.stdout is not None
        news = {first.stdout.readline(): first, second.stdout.readline(): second}
        assert sorted(news) == ["makes\n", "waits\n"]
        maker, waiter = news["makes\n"], news["waits\n"]
        made, _ = maker.communicate("go on\n")
        waited, _ = waiter.communicate()
    text = made.split()[0]
    assert made == f"{text} False\n"
    assert waited == f"{text} True\n"
