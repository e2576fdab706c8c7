"""The store: content-addressed, made once, and sound after any kill."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress, Silent
from afterbase.core.store import Artifact, Store, Workspace, folder_digest, stage_key, write_atomically

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


# --- keys and digests -------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CONFIGS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)
DIGESTS = st.dictionaries(st.text(max_size=5), st.binary(min_size=4, max_size=4).map(bytes.hex), max_size=3)
IDENTITY = (st.text(max_size=9), st.integers(0, 99), CONFIGS, DIGESTS)


@given(st.tuples(*IDENTITY))
def test_key_does_not_depend_on_the_order_of_settings_and_inputs(identity):
    stage, version, what, inputs = identity
    turned = (dict(reversed(what.items())), dict(reversed(inputs.items())))
    assert stage_key(stage, version, what, inputs) == stage_key(stage, version, *turned)


@given(st.tuples(*IDENTITY), st.integers(0, 3), st.data())
def test_any_change_of_the_identity_is_another_key(identity, part, data):
    other = list(identity)
    other[part] = data.draw(IDENTITY[part])
    assume(json.dumps(other[part], sort_keys=True) != json.dumps(identity[part], sort_keys=True))
    assert stage_key(*identity) != stage_key(*other)


NAMES = st.sampled_from(["a", "b", "a.txt", "sub/a", "sub/b", "sub/deeper/a"])
TREES = st.dictionaries(NAMES, st.binary(max_size=5), max_size=4)


def _plant(folder: Path, tree: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@given(TREES, TREES)
def test_folder_digests_are_equal_exactly_where_names_and_contents_are(tmp_path_factory, one, other):
    folder = tmp_path_factory.mktemp("trees")
    digests = [folder_digest(_plant(folder / name, tree)) for name, tree in (("one", one), ("other", other))]
    assert (digests[0] == digests[1]) == (one == other)


def test_digest_is_independent_of_metrics_times_and_the_store(tmp_path):
    def make(metrics: list[float]) -> Make:
        def inner(work: Workspace) -> None:
            _write("same")(work)
            for step, value in enumerate(metrics, start=1):
                work.log(step, len(metrics), value=value)
            os.utime(work.payload / "text.txt", (len(metrics), len(metrics)))

        return inner

    one = _produce(Store(tmp_path / "one"), make([1.0]))
    other = _produce(Store(tmp_path / "other"), make([2.0, 3.0]))
    assert (one.key, one.digest) == (other.key, other.digest)
    assert one.metrics() == [{"step": 1, "value": 1.0}]
    assert other.metrics() == [{"step": 1, "value": 2.0}, {"step": 2, "value": 3.0}]


# --- made once --------------------------------------------------------------------------------------------------


def test_finished_stage_is_never_run_again(tmp_path):
    runs: list[str] = []
    store = Store(tmp_path)
    first = _produce(store, _write("text", runs))
    again = _produce(Store(tmp_path), _write("text", runs))
    assert runs == ["text"]
    assert again == first
    assert [record.cached for record in store.stages] == [False]


def test_record_of_a_cached_stage_keeps_the_time_that_it_took(tmp_path):
    _produce(Store(tmp_path), _write("text"))
    store = Store(tmp_path)
    artifact = _produce(store, _write("text"))
    assert [(r.cached, r.seconds) for r in store.stages] == [(True, artifact.manifest["seconds"])]


@pytest.mark.parametrize(
    "change",
    [{"stage": "other"}, {"version": 2}, {"what": {"size": 4}}, {"what": {"size": 3, "more": None}}],
    ids=lambda change: next(iter(change)),
)
def test_changed_identity_is_made_anew(tmp_path, change):
    runs: list[str] = []
    store = Store(tmp_path)
    _produce(store, _write("old", runs))
    _produce(store, _write("new", runs), **change)
    assert runs == ["old", "new"]


def test_changed_input_digest_is_made_anew_and_an_equal_one_is_not(tmp_path):
    runs: list[str] = []
    store = Store(tmp_path)
    # Two versions of one stage that come to the same payload: what is made of it stays.
    inputs = [_produce(store, _write(text), version=v) for v, text in ((1, "same"), (2, "same"), (3, "other"))]
    for source in inputs:
        _produce(store, _write("made", runs), stage="next", inputs={"source": source})
    assert runs == ["made", "made"]


def test_manifest_says_what_was_made_from_what(tmp_path):
    store = Store(tmp_path, threads=3)
    source = _produce(store, _write("source"))
    made = _produce(store, _write("made"), stage="next", version=7, inputs={"source": source})
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["inputs"] == {"source": {"key": source.key, "digest": source.digest, "name": "toy stage"}}
    assert (manifest["stage"], manifest["version"], manifest["what"]) == ("next", 7, {"size": 3})
    assert manifest["environment"]["threads"] == 3
    assert manifest["digest"] == made.digest == folder_digest(made.payload)
    assert sorted(p.name for p in made.folder.iterdir()) == ["manifest.json", "payload"]


def test_labelled_store_shares_records_and_names_its_stages(tmp_path):
    store = Store(tmp_path)
    _produce(store.labelled(" [seed 1]"), _write("text"))
    assert [record.name for record in store.stages] == ["toy stage [seed 1]"]


def test_plan_records_stages_and_makes_nothing(tmp_path):
    made = _produce(Store(tmp_path / "store"), _write("text"))
    store = Store(tmp_path / "store", plan_only=True)
    found = _produce(store, _write("text"))
    planned = _produce(store, _write("never"), stage="next", inputs={"source": found})
    last = _produce(store, _write("never"), stage="last", inputs={"source": planned})
    assert found == made
    assert [(r.cached, r.artifact.planned) for r in store.stages] == [(True, False), (False, True), (False, True)]
    assert not planned.folder.exists()
    assert not last.folder.exists()


# --- killed -----------------------------------------------------------------------------------------------------

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
    module._publish = die
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
    _plant(tmp_path / key, {"payload/text.txt": b"half of", "payload/left over": b"", "stray": b""})
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
    assert '"threads": 1' in caught.value.got
    assert '"threads": 2' in caught.value.got
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


# --- metrics ----------------------------------------------------------------------------------------------------


@given(steps=st.integers(0, 6), back_to=st.integers(0, 7), torn=st.integers(0, 40))
def test_rewind_drops_later_rows_and_a_torn_last_line(tmp_path_factory, steps, back_to, torn):
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    rows = [{"step": step, "loss": 0.5} for step in range(1, steps + 1)]
    whole = "".join(json.dumps(row) + "\n" for row in rows)
    half = json.dumps({"step": steps + 1, "loss": 0.25})
    path.write_text(whole + half[: min(torn, len(half) - 1)])
    Workspace(path.parent, path.parent, path, Silent().stage("toy")).rewind(back_to)
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows[:back_to]
    assert path.read_text() == "" or path.read_text().endswith("\n")


def test_log_is_recorded_and_show_is_not(tmp_path):
    def make(work: Workspace) -> None:
        work.rewind(0)
        work.show(1, 2, loss=1.0)
        work.log(2, 2, loss=0.5)

    stream = StringIO()
    made = _produce(Store(tmp_path, progress=Progress(stream=stream)), make)
    assert made.metrics() == [{"step": 2, "loss": 0.5}]
    assert stream.getvalue().endswith(", loss 0.5\n")


def test_write_atomically_replaces_and_leaves_no_part(tmp_path):
    for content in (b"old and long", b"new"):
        write_atomically(tmp_path / "file", content)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"new")]
