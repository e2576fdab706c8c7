"""The same pure function over many pieces of data: in this process, in a pool of processes, or on Ray Data.

Results come in the order of the pieces, so that the output does not depend on where a piece ran. Only
as many are under way as keep the workers busy: memory does not grow with the pieces.

Pieces are descriptions (a path and which rows), not rows: the workers read the rows themselves. On a Ray cluster the
paths must therefore lie on storage that every machine sees, and afterbase be installed there.
"""

import itertools
import logging
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import Field

from afterbase.core.config import Config
from afterbase.core.errors import UserError, refuse_missing_extra

Piece = TypeVar("Piece")
_NUMBER = "__piece__"


class Workers(Config):
    """Where the work on rows is done; no part of what it makes."""

    processes: int = Field(default=1, ge=1)
    """On this machine; with `ray`, the share of its cores that Ray may use."""
    ray: str | None = None
    """`local`, for Ray on this machine, or the address of a cluster (`auto`, `ray://host:10001`)."""


def refuse_without_ray(workers: Workers) -> None:
    """UserError where the work is to be done on Ray, and Ray is not installed."""
    if workers.ray is not None:
        refuse_missing_extra("ray", "`ray` spreads the work on rows over Ray Data", otherwise="leave `ray` out")


def spread(work: Callable[[Piece], pa.Table], pieces: Sequence[Piece], workers: Workers) -> Iterator[pa.Table]:
    """work(piece) of each piece, in order; tables have at least one row. Raises what `work` raises."""
    if workers.ray is not None:
        with _ray(workers) as ray:
            yield from _on_ray(ray, work, pieces)
    elif workers.processes == 1:
        yield from map(work, pieces)
    else:
        yield from _in_a_pool(work, pieces, workers.processes)


def _in_a_pool(work: Callable[[Piece], pa.Table], pieces: Sequence[Piece], processes: int) -> Iterator[pa.Table]:
    # Spawned: a fork of a process with threads, as pyarrow's, can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_the_parent) as pool:
        under_way: deque[Future[pa.Table]] = deque()
        try:
            for piece in pieces:
                under_way.append(pool.submit(work, piece))
                if len(under_way) > 2 * processes:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "the worker processes stay alive",
                got="one was killed, most often for want of memory",
                remedy="use fewer processes, or free some memory; the same command goes on from here",
            ) from error
        finally:
            for future in under_way:
                future.cancel()


def _end_with_the_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_ray(ray: Any, work: Callable[[Piece], pa.Table], pieces: Sequence[Piece]) -> Iterator[pa.Table]:
    if not pieces:
        return
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False

    def done(batch: dict[str, Any]) -> pa.Table:
        [number] = batch["id"].tolist()
        table = work(pieces[number])
        return table.append_column(_NUMBER, pa.array([number] * table.num_rows, pa.int64()))

    numbers = ray.data.range(len(pieces), override_num_blocks=len(pieces))
    results = numbers.map_batches(done, batch_size=1, batch_format="numpy")
    whole: list[pa.Table] = []
    current = 0  # the piece whose parts are being gathered
    for block in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for part in _runs(block):
            number = part[_NUMBER][0].as_py()
            if number != current:
                assert number == current + 1, "Ray keeps the order of its blocks"
                yield _concatenated(whole)
                whole, current = [], number
            whole.append(part)
    yield _concatenated(whole)


def _runs(block: pa.Table) -> Iterator[pa.Table]:
    """A block, which may hold several pieces, cut where one ends."""
    numbers = block[_NUMBER].to_numpy()
    starts = [0, *(i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1]), len(numbers)]
    for start, end in itertools.pairwise(starts):
        if end > start:
            yield block.slice(start, end - start)


def _concatenated(parts: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).drop_columns([_NUMBER]).combine_chunks()


@contextmanager
def _ray(workers: Workers) -> Iterator[Any]:
    """Ray, connected: with what runs already in this process, else for as long as this lasts."""
    refuse_without_ray(workers)
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.WARNING)
    if ray.is_initialized():
        yield ray
        return
    where: dict[str, Any] = {"num_cpus": workers.processes} if workers.ray == "local" else {"address": workers.ray}
    try:
        ray.init(**where, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            "`ray` is `local` or the address of a cluster that answers",
            got=f"{workers.ray}: {error}",
            remedy="start the cluster, mend the address, or set RAY_AUTH_TOKEN where the cluster asks for a token",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
