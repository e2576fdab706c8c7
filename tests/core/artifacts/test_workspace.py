"""What a running stage writes down, and what it says of it."""

import json
from collections.abc import Callable
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.longer_run import Growth
from afterbase.core.progress import Progress, Silent
from afterbase.core.store import Artifact, Store, Workspace


@given(steps=st.integers(0, 6), back_to=st.integers(0, 7), torn=st.integers(0, 40))
def test_rewind_drops_later_rows_and_a_torn_last_line(tmp_path_factory, steps, back_to, torn):
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    rows = [{"step": step, "loss": 0.5} for step in range(1, steps + 1)]
    whole = "".join(json.dumps(row) + "\n" for row in rows)
    half = json.dumps({"step": steps + 1, "loss": 0.25})
    path.write_text(whole + half[: min(torn, len(half) - 1)])
    here = path.parent
    Workspace(here, here, here, here, path, Silent().stage("toy")).rewind(back_to)
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows[:back_to]
    assert path.read_text() == "" or path.read_text().endswith("\n")


def test_log_is_recorded_and_show_is_not(tmp_path):
    def make(work: Workspace) -> None:
        work.rewind(0)
        work.show(1, 2, loss=1.0)
        work.log(2, 2, loss=0.5)

    stream = StringIO()
    made = produce(Store(tmp_path, progress=Progress(stream=stream)), make)
    assert made.metrics() == [{"step": 2, "loss": 0.5}]
    assert stream.getvalue().endswith(", loss 0.5\n")


def test_what_is_shown_may_be_named_in_its_order_and_parts_of_a_whole_are_not(tmp_path):
    def make(work: Workspace) -> None:
        work.log(1, 2, loss=0.5, length=20, reward=1)
        work.log(2, 2, ("reward", "kl", "loss"), loss=0.25, length=10, reward=2)

    def parts(work: Workspace) -> None:
        work.log(1, 1, **{"pairs": 3, "of/arithmetic": 2})

    stream = StringIO()
    store = Store(tmp_path, progress=Progress(stream=stream))
    made = store.produce("named", "toy", 1, what={"shown": True}, inputs={}, make=make)
    produce(store, parts)
    assert made.metrics()[1] == {"step": 2, "loss": 0.25, "length": 10, "reward": 2}
    assert stream.getvalue().splitlines() == [
        "named: done in 0:00, loss 0.25, length 20, reward 2",
        "toy: done in 0:00, pairs 3",
    ]


def produce(store: Store, make: Callable[[Workspace], None]) -> Artifact:
    return store.produce("toy", "toy", 1, what={}, inputs={}, make=make)


def steps(count: int, *, cut: int | None = None) -> Callable[[Workspace], None]:
    """Steps with a state each, from the last one on; `cut` is the step that is interrupted."""

    def make(work: Workspace) -> None:
        done = max((int(state.name.removeprefix("step-")) for state in work.scratch.iterdir()), default=0)
        work.rewind(done)
        for step in range(done + 1, count + 1):
            if step == cut:
                raise KeyboardInterrupt
            work.log(step, count)
            (work.scratch / f"step-{step:08d}").mkdir()
        if work.keeps_state:
            work.state = [f"step-{count:08d}"]

    return make


def test_a_resumed_stage_says_once_where_it_goes_on_and_another_one_nothing(tmp_path):
    streams = [StringIO(), StringIO()]
    stores = [Store(tmp_path, progress=Progress(stream=stream)) for stream in streams]
    with pytest.raises(KeyboardInterrupt):
        produce(stores[0], steps(5, cut=4))
    produce(stores[1], steps(5))
    assert "goes on" not in streams[0].getvalue()
    assert streams[1].getvalue().splitlines()[0] == "toy: goes on from step 3"
    assert streams[1].getvalue().count("goes on") == 1


def test_a_longer_run_says_once_of_which_run_and_its_own_resume_says_the_step_alone(tmp_path):
    def run(count: int, cut: int | None = None) -> tuple[Artifact | None, str]:
        stream = StringIO()
        store = Store(tmp_path, progress=Progress(stream=stream)).growing(Growth("steps", lambda: "cpu"))
        made = None
        try:
            made = store.produce("toy", "toy", 1, what={"steps": count}, inputs={}, make=steps(count, cut=cut))
        except KeyboardInterrupt:
            assert cut is not None
        return made, stream.getvalue()

    first, _ = run(2)
    assert first is not None
    _, cut_short = run(6, cut=5)
    assert [line for line in cut_short.splitlines() if "goes on" in line] == [
        f"toy: goes on from step 2 of {first.key[:12]}"
    ]
    _, resumed = run(6)
    assert [line for line in resumed.splitlines() if "goes on" in line] == ["toy: goes on from step 4"]
