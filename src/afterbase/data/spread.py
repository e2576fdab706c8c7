"""The same pure function over many pieces of data: in this process, in a pool of processes, or on Ray Data.

Results come in the order of the pieces, whatever runs where, so that what is made of them does not depend on it. Only
as many are under way as keep the workers busy: memory does not grow with the pieces.

Pieces are descriptions (a path and which rows), not rows: the workers read the rows themselves. On a Ray cluster the
paths must therefore lie on storage that every machine sees, and afterbase be installed there.
"""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import Field

from afterbase.core.config import Config
from afterbase.core.errors import UserError

Piece = TypeVar("Piece")
_NUMBER = "__piece__"


class Workers(Config):
    """Where the work on rows is done; no part of what it makes."""

    processes: int = Field(default=1, ge=1)
    """On this machine; with `ray`, the share of its cores that Ray may use."""
    ray: str | None = None
    """`local`, for Ray on this machine, or the address of a cluster (`auto`, `ray://host:10001`)."""


def spread(work: Callable[[Piece], pa.Table], pieces: Sequence[Piece], workers: Workers) -> Iterator[pa.Table]:
    """work(piece) of each piece, in order; tables have at least one row. Raises what `work` raises."""
    if workers.ray is not None:
        yield from _on_ray(work, pieces, workers)
    elif workers.processes == 1:
        yield from map(work, pieces)
    else:
        yield from _in_a_pool(work, pieces, workers.processes)


def _in_a_pool(work: Callable[[Piece], pa.Table], pieces: Sequence[Piece], processes: int) -> Iterator[pa.Table]:
    # Spawned: a fork of a process with threads, as pyarrow's, can hang.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
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


def _on_ray(work: Callable[[Piece], pa.Table], pieces: Sequence[Piece], workers: Workers) -> Iterator[pa.Table]:
    ray = _ray(workers)
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
    for block in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for part in _runs(block):
            if whole and whole[0][_NUMBER][0] != part[_NUMBER][0]:
                yield _together(whole)
                whole = []
            whole.append(part)
    yield _together(whole)


def _runs(block: pa.Table) -> Iterator[pa.Table]:
    """A block, which may hold several pieces, cut where one ends."""
    numbers = block[_NUMBER].to_numpy()
    starts = [0, *(i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1]), len(numbers)]
    for start, end in itertools.pairwise(starts):
        if end > start:
            yield block.slice(start, end - start)


def _together(parts: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).drop_columns([_NUMBER]).combine_chunks()


def _ray(workers: Workers) -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError(
            "work on Ray needs Ray",
            got="it is not installed",
            remedy="pip install 'afterbase[ray]', or leave `ray` out",
        ) from error
    if not ray.is_initialized():
        where = {"num_cpus": workers.processes} if workers.ray == "local" else {"address": workers.ray}
        try:
            ray.init(**where, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                "`ray` is `local` or the address of a cluster that answers",
                got=f"{workers.ray}: {error}",
                remedy="start the cluster, or mend the address",
            ) from error
    return ray
