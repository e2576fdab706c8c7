"""Ranks: alone nothing waits; shares are even; two real processes tell each other things and add numbers up."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import together
from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError
from afterbase.core.store import Store, Workspace

HERE = Path(__file__)


def test_alone_nothing_waits():
    ranks.start()
    ranks.barrier()
    assert (ranks.rank(), ranks.size(), ranks.totals(1.5, 2)) == (0, 1, [1.5, 2])
    ranks.broadcast("topic", "nobody waits")
    ranks.end()


@given(st.lists(st.integers(), min_size=1, max_size=9), st.integers(1, 4))
def test_every_item_has_weight_one_on_one_rank_and_all_ranks_have_equally_many(items, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", str(size))
        shares = []
        for rank in range(size):
            patch.setenv("RANK", str(rank))
            shares.append(ranks.share(items))
        with ranks.alone():
            assert ranks.share(items) == [(item, 1.0) for item in items]
    assert len({len(share) for share in shares}) == 1
    weighed = [item for share in shares for item, weight in share if weight == 1.0]
    assert sorted(weighed) == sorted(items)
    assert {weight for share in shares for _, weight in share} <= {0.0, 1.0}


def test_an_error_inside_names_what_was_done(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="SFT") as raised, ranks.doing("SFT"):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4321")
    assert "Connection closed" in raised.value.got
    with pytest.raises(RuntimeError, match="out of paper"), ranks.doing("SFT"):
        raise RuntimeError("out of paper")


def test_two_processes_share_what_each_stage_makes(tmp_path):
    together.run(HERE, tmp_path)
    both = (tmp_path / "store").glob("*/payload/sum")
    assert [path.read_text() for path in both] == ["[3.0, 30.0]"]
    first = (tmp_path / "store").glob("*/payload/who")
    assert [path.read_text() for path in first] == ["rank 0 of 1"]


def test_a_rank_that_does_not_come_to_a_meeting_is_named(tmp_path):
    (first, error), (second, _) = together.finish(together.start(HERE, tmp_path, "late"))
    assert (first != 0, second) == (True, 0)
    assert "evaluation" in error
    assert "1" in error.split("monitoredBarrier")[0].rpartition("Rank")[2]


def _work_together(root: Path, *, late: bool) -> None:
    """What each of two processes runs."""
    from datetime import timedelta
    from threading import Event

    ranks.start(silence=1.0)
    if late:
        if ranks.rank() == 0:
            with ranks.doing("evaluation"):
                ranks.barrier(timedelta(seconds=2))
        return

    def add(work: Workspace) -> None:
        total = ranks.totals(ranks.rank() + 1, 10 * (ranks.rank() + 1))
        (work.payload / "sum").write_text(str(total))

    def alone(work: Workspace) -> None:
        """Longer than a rank may be silent: the others live, though nobody waits for them."""
        Event().wait(2.5)
        (work.payload / "who").write_text(f"rank {ranks.rank()} of {ranks.size()}")

    store = Store(root / "store")
    added = store.produce("sum", "sum", 1, what={}, inputs={}, make=add, together=True)
    store.produce("who", "who", 1, what={}, inputs={"sum": added}, make=alone)
    assert [record.artifact.payload.is_dir() for record in store.stages] == [True, True]
    ranks.end()


if __name__ == "__main__":
    _work_together(Path(sys.argv[1]), late=len(sys.argv) > 2)
