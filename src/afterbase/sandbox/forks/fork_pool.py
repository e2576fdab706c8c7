"""Pools of fork servers: a few of each kind, asked side by side, ended at exit."""

import atexit
import functools
import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from afterbase.sandbox.forks.fork_client import ForkServer

_MOST = 8

Item = TypeVar("Item")
Judged = TypeVar("Judged")


class Workers:
    """`count` fork servers of one kind (`calls`, `maths`, `puzzle`); each starts when it is first asked."""

    def __init__(self, kind: str, count: int) -> None:
        self.count = count
        self._servers = [ForkServer(kind) for _ in range(count)]
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
def workers(kind: str) -> Workers:
    """The process-wide fork servers for `maths` or `puzzle`."""
    pool = Workers(kind, min(_MOST, os.cpu_count() or 1))
    atexit.register(pool.close)
    return pool
