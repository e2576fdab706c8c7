import os
import sys
import time
from pathlib import Path

import pytest

from afterbase.verify.child import Child

TOY = """
import json, os, sys, time
print('{"ready": true}', flush=True)
for line in sys.stdin:
    question = json.loads(line)
    if question["do"] == "die":
        os._exit(1)
    if question["do"] == "hang":
        time.sleep(1000)
    print(json.dumps({"pid": os.getpid(), "echo": question["do"]}), flush=True)
"""


def child_of(tmp_path: Path, source: str) -> Child:
    script = tmp_path / "toy.py"
    script.write_text(source)
    return Child([sys.executable, "-S", "-E", str(script)], environment={})


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_process_answers_line_by_line(tmp_path: Path) -> None:
    child = child_of(tmp_path, TOY)
    first, second = (child.ask({"do": "x" * n}, seconds=60) for n in (1, 300_000))
    assert (first["echo"], len(second["echo"])) == ("x", 300_000)
    assert first["pid"] == second["pid"]
    child.close()
    assert not alive(first["pid"])


@pytest.mark.parametrize(("fault", "error"), [("die", ChildProcessError), ("hang", TimeoutError)])
def test_a_dead_or_late_child_is_reaped_and_replaced(tmp_path: Path, fault: str, error: type[Exception]) -> None:
    child = child_of(tmp_path, TOY)
    first = child.ask({"do": "hello"}, seconds=60)
    with pytest.raises(error):
        child.ask({"do": fault}, seconds=60 if fault == "die" else 0.1)
    assert not alive(first["pid"])
    assert child.ask({"do": "again"}, seconds=60)["pid"] != first["pid"]
    child.close()


def test_its_own_children_die_with_it(tmp_path: Path) -> None:
    source = TOY.replace('"pid": os.getpid()', '"pid": os.getpid(), "grandchild": os.fork() or time.sleep(1000)')
    child = child_of(tmp_path, source)
    grandchild = child.ask({"do": "hello"}, seconds=60)["grandchild"]
    child.close()
    status = Path(f"/proc/{grandchild}/status")
    # Not ours to reap: init does that in its own time, and until then it is a zombie.
    while alive(grandchild) and "State:\tZ" not in status.read_text():
        time.sleep(0.001)


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    child = child_of(tmp_path, """print('{"fault": "no such luck"}')""")
    with pytest.raises(ChildProcessError, match="no such luck"):
        child.ask({"do": "hello"}, seconds=60)
