"""Pools of fork servers: a few of each kind, asked side by side, ended at exit."""

import atexit
import functools
import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from afterbase.sandbox.forks.fork_client import ForkServer, Work

_MOST = 8

Item = TypeVar("Item")
Judged = TypeVar("Judged")


class ForkPool:
    """`count` fork servers of one kind of work; each starts when it is first asked."""

    def __init__(self, work: Work, count: int) -> None:
        self.count = count
        self._servers = [ForkServer(work) for _ in range(count)]
        self._idle: queue.LifoQueue[ForkServer] = queue.LifoQueue()  # the one that is up comes first
        for server in self._servers:
            self._idle.put(server)
        self._threads = ThreadPoolExecutor(count)

    def each(self, judge: Callable[[ForkServer, Item], Judged], items: Sequence[Item]) -> list[Judged]:
        """What `judge` says of every item, in order; it is given a server of its own for the time."""

        def run(item: Item) -> Judged:
            server = self._idle.get()
            try:
                return judge(server, item)
            finally:
                self._idle.put(server)

        return [run(items[0])] if len(items) == 1 else list(self._threads.map(run, items))

    def close(self) -> None:
        """End every server."""
        self._threads.shutdown()
        for server in self._servers:
            server.close()


@functools.cache
def fork_pool(work: Work) -> ForkPool:
    """The process-wide fork servers for this work."""
    pool = ForkPool(work, min(_MOST, os.cpu_count() or 1))
    atexit.register(pool.close)
    return pool
