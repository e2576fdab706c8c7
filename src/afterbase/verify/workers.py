"""The children that run math-verify and reasoning-gym: a few of each, asked side by side, ended at exit."""

import atexit
import functools
import os
import queue
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from afterbase.verify.child import Child

_MOST = 8

Item = TypeVar("Item")
Judged = TypeVar("Judged")


class Workers:
    """`count` children of one kind, `maths` or `puzzle`; each starts when it is first asked."""

    def __init__(self, kind: str, count: int) -> None:
        script = Path(__file__).with_name("worker.py")
        # -P: this folder has a code.py, which must not stand in for the standard library's.
        command, environment = [sys.executable, "-P", str(script), kind], {**os.environ, "PYTHONHASHSEED": "0"}
        self._children = [Child(command, environment=environment) for _ in range(count)]
        self._idle: queue.LifoQueue[Child] = queue.LifoQueue()  # the one that is up and has parsed most comes first
        for child in self._children:
            self._idle.put(child)
        self._threads = ThreadPoolExecutor(count)

    def each(self, judge: Callable[[Child, Item], Judged], items: Sequence[Item]) -> list[Judged]:
        """What `judge` says of every item, in order; it is given a child of its own for the time."""

        def run(item: Item) -> Judged:
            child = self._idle.get()
            try:
                return judge(child, item)
            finally:
                self._idle.put(child)

        return [run(items[0])] if len(items) == 1 else list(self._threads.map(run, items))

    def close(self) -> None:
        """End every child."""
        self._threads.shutdown()
        for child in self._children:
            child.close()


@functools.cache
def workers(kind: str) -> Workers:
    """The process-wide children for `maths` or `puzzle`."""
    pool = Workers(kind, min(_MOST, os.cpu_count() or 1))
    atexit.register(pool.close)
    return pool
