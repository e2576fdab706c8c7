import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.data.clean.parallel_map import Workers, spread
from pieces import refused, squares

PIECES = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
PLAIN = [squares(n).to_pylist() for n in PIECES]


@pytest.mark.parametrize("workers", [Workers(), Workers(processes=2)], ids=["here", "pool"])
def test_results_come_in_order(workers):
    assert [t.to_pylist() for t in spread(squares, PIECES, workers)] == PLAIN
    assert list(spread(squares, [], workers)) == []


@pytest.mark.parametrize("workers", [Workers(), Workers(processes=2)], ids=["here", "pool"])
def test_a_mistake_of_the_user_comes_out_of_a_worker_as_it_is(workers):
    with pytest.raises(UserError, match="a rule") as caught:
        list(spread(refused, [7], workers))
    assert (caught.value.got, caught.value.remedy) == ("7", "mend it")


PARENT = """
import sys
from afterbase.data.clean.parallel_map import Workers, spread
from pieces import sleepy

if __name__ == "__main__":
    list(spread(sleepy, [sys.argv[1]] * 4, Workers(processes=2)))
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    here = Path(__file__)
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "pids").mkdir()
    paths = [str(here.parents[3] / "src"), str(here.parents[2])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", tmp_path / "pids"], env=environment)
    until(lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    parent.kill()
    parent.wait()
    workers = [path.name for path in (tmp_path / "pids").iterdir()]
    until(lambda: not any(running(worker) for worker in workers))


def running(process: str) -> bool:
    """Whether there is such a process, and it is no zombie that nobody has reaped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def test_ray_gives_the_same(ray_cluster):
    found = list(spread(squares, PIECES, Workers(ray="local")))
    assert [t.to_pylist() for t in found] == PLAIN
    assert found[0].schema == squares(1).schema
    assert list(spread(squares, [], Workers(ray="local"))) == []


def test_without_ray_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="Ray Data") as raised:
        list(spread(squares, PIECES, Workers(ray="local")))
    assert raised.value.remedy == "pip install 'afterbase[ray]', or leave `ray` out"
