"""A longer run begins with the state of the longest shorter one that serves, and is told why another does not."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from afterbase.core import longer_run
from afterbase.core.longer_run import Growth
from afterbase.core.progress import Progress
from afterbase.core.store import Artifact, Store, Workspace

GROWTH = Growth("steps", lambda: "cpu")


def count(store: Store, steps: int, growth: Growth | None = GROWTH, *, cut: int | None = None, **what) -> Artifact:
    """Counts to `steps`, each count a row and a state; at `cut` it is killed."""

    def make(work: Workspace) -> None:
        states = sorted(work.scratch.glob("step-*"))
        done = int((states[-1] / "count").read_text()) if states else 0
        work.rewind(done)
        for step in range(done + 1, steps + 1):
            if step == cut:
                raise KeyboardInterrupt
            work.log(step, steps)
            folder = work.scratch / f"step-{step:08d}"
            folder.mkdir()
            (folder / "count").write_text(str(step))
        if work.keeps_state:
            work.state = [f"step-{steps:08d}"]
        (work.payload / "begun.txt").write_text(f"{done}")

    settings = {"steps": steps, **what}
    return store.growing(growth).produce("count", "count", 1, what=settings, inputs={}, make=make)


def begun(artifact: Artifact) -> int:
    return int((artifact.payload / "begun.txt").read_text())


def test_it_begins_with_the_longest_of_the_shorter_runs_and_says_so(tmp_path):
    for steps in (2, 5, 9):
        first = count(Store(tmp_path), steps, None if steps == 9 else GROWTH)
    assert begun(first) == 0
    screen = StringIO()
    longer = count(Store(tmp_path, progress=Progress(stream=screen)), 7)
    assert begun(longer) == 5
    assert [row["step"] for row in longer.metrics()] == [1, 2, 3, 4, 5, 6, 7]
    key = longer.manifest["goes_on_from"]["key"]
    assert f"goes on from step 5 of {key[:12]}" in screen.getvalue()
    assert sorted(path.name for path in longer.folder.iterdir()) == [
        "manifest.json", "metrics.jsonl", "payload", "resume",
    ]  # fmt: skip
    assert [path.name for path in (longer.folder / "resume").iterdir()] == ["step-00000007"]
    assert [path.name for path in (tmp_path / key / "resume").iterdir()] == ["step-00000005"], "still there"


def test_seconds_are_those_of_all_steps(tmp_path):
    first = count(Store(tmp_path), 2)
    manifest = tmp_path / first.key / "manifest.json"
    manifest.write_text(json.dumps({**first.manifest, "seconds": 1000.0}))
    assert count(Store(tmp_path), 3).manifest["seconds"] > 1000


def test_a_longer_run_that_is_killed_goes_on_where_it_was(tmp_path):
    first = count(Store(tmp_path), 2)
    with pytest.raises(KeyboardInterrupt):
        count(Store(tmp_path), 6, cut=5)
    resumed = count(Store(tmp_path), 6)
    assert begun(resumed) == 4
    assert resumed.manifest["goes_on_from"] == {"key": first.key, "step": 2}
    assert [row["step"] for row in resumed.metrics()] == [1, 2, 3, 4, 5, 6]


def test_a_copy_that_was_cut_short_is_made_again(tmp_path, monkeypatch):
    count(Store(tmp_path), 2)

    def killed(*_paths) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(longer_run, "_link", killed)
        with pytest.raises(KeyboardInterrupt):
            count(Store(tmp_path), 4)
    assert begun(count(Store(tmp_path), 4)) == 2


def test_where_files_have_one_name_the_state_is_copied(tmp_path, monkeypatch):
    count(Store(tmp_path), 2)

    def refused(*_paths) -> None:
        raise PermissionError

    monkeypatch.setattr(longer_run.os, "link", refused)
    assert begun(count(Store(tmp_path), 4)) == 2


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"threads": 2}, "was made in another environment: threads 1 -> 2"),
        ({"device": "cuda"}, "was made in another environment: device cpu -> cuda"),
        ({"deleted": True}, "kept no state to go on from"),
        ({"keeps": False}, "kept no state to go on from"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_serve_is_told_and_all_is_made_anew(tmp_path, changed, reason):
    first = count(Store(tmp_path), 2, replace(GROWTH, keeps_state=changed.get("keeps", True)))
    if "deleted" in changed:
        (first.folder / "resume/step-00000002").rename(tmp_path / "away")
    store = Store(tmp_path, threads=changed.get("threads", 1))
    longer = count(store, 3, Growth("steps", lambda: changed.get("device", "cpu")))
    assert begun(longer) == 0
    assert [row["step"] for row in longer.metrics()] == [1, 2, 3]
    assert store.stages[-1].shorter is not None
    assert store.stages[-1].shorter.told == f"made anew, as {first.key[:12]} {reason}"


def test_another_setting_a_smaller_value_and_a_stage_that_does_not_grow_have_no_shorter_run(tmp_path):
    count(Store(tmp_path), 5, seed=0)
    for steps, growth, seed in ((7, GROWTH, 1), (3, GROWTH, 0), (8, None, 0)):
        store = Store(tmp_path)
        assert begun(count(store, steps, growth, seed=seed)) == 0
        assert store.stages[-1].shorter is None


def test_a_kill_while_the_result_is_moved_loses_no_state(tmp_path):
    """The manifest names the state, so that the move is made again."""
    work: Path = tmp_path / "work"
    (work / "scratch/step-00000001").mkdir(parents=True)
    (work / "scratch/step-00000002").mkdir()
    (work / "resume/step-00000001").mkdir(parents=True)
    (work / "scratch/step-00000001").rmdir()  # moved before the kill
    longer_run.keep_state(work, {"resume": {"checkpoints": ["step-00000001", "step-00000002"]}})
    assert sorted(path.name for path in (work / "resume").iterdir()) == ["step-00000001", "step-00000002"]
