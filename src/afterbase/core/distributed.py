"""This process among those that `torchrun` started: who it is, and how it waits for the others.

Three kinds of waiting, and none of them is endless. A *collective* (a sum, a barrier) has a deadline; when it passes,
the error names what was done and the ranks that did not come. *Following* the first rank while it works alone may take
hours; meanwhile every rank shows a sign of life, and one that shows none for 45 seconds ends all the others, with its
number and what they were doing. Alone, without `torchrun`, all of this is nothing.

All ranks need one shared folder for the store. NCCL is used on CUDA as torch documents it; untested here, without
a GPU.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from afterbase.core.errors import UserError

if TYPE_CHECKING:  # torch costs the command line's start
    from torch._C._distributed_c10d import Store as KeyValueStore

DEADLINE = timedelta(minutes=10)
"""Of every collective: ranks differ by what one of them does between two, such as writing a model folder."""
_SILENCE = 45.0  # seconds without a sign of life after which a rank counts as dead
_HEARTBEAT, _POLL = 5.0, 0.1
_deadlines = [DEADLINE]
_doing = ["starting"]
_single = [False]
_over = threading.Event()
_groups: dict[str, Any] = {}  # of gloo, beside NCCL: numbers and barriers stay on the CPU; checkpoints have their own


def rank() -> int:
    """This process's number, 0 if it is alone."""
    return 0 if _single[-1] else int(os.environ.get("RANK", "0"))


def size() -> int:
    """How many processes work together, 1 if this one is alone."""
    return 1 if _single[-1] else int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Inside the block this process works by itself, whatever the others do."""
    _single.append(True)
    try:
        yield
    finally:
        _single.pop()


def start(*, deadline: timedelta = DEADLINE, silence: float = _SILENCE) -> None:
    """Join the others, if there are any; to be called once, before anything else of this module."""
    if size() == 1:
        return
    import torch
    import torch.distributed as dist
    from torch._C._distributed_c10d import TCPStore

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend, timeout=deadline)
    for purpose in ("numbers", "background"):
        _groups[purpose] = dist.new_group(backend="gloo", timeout=deadline)
    _deadlines.append(deadline)
    heartbeats = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    threading.Thread(target=_exchange_heartbeats, args=(heartbeats, rank(), size(), silence), daemon=True).start()


def end() -> None:
    """Leave the others once all work is done."""
    if size() == 1:
        return
    import torch.distributed as dist

    with doing("the end"):
        barrier()
    _over.set()
    dist.destroy_process_group()


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """Name what the ranks do inside the block: an error of a collective there, or the death of a rank, says it."""
    _doing.append(what)
    try:
        yield
    except RuntimeError as error:
        if size() == 1 or not _of_a_collective(error):
            raise
        raise UserError(
            f"all {size()} processes go through `{what}` together",
            got=f"on rank {rank()}: {str(error).strip().splitlines()[0]}",
            remedy="look for the first error of another rank; the same command goes on from the last checkpoint",
        ) from error
    finally:
        _doing.pop()


def barrier(deadline: timedelta | None = None) -> None:
    """Wait until every rank is here; past the deadline (that of `start`) an error names those that are not."""
    if size() == 1:
        return
    import torch.distributed as dist

    dist.monitored_barrier(_groups["numbers"], timeout=deadline or _deadlines[-1], wait_all_ranks=rank() == 0)


def totals(*numbers: float) -> list[float]:
    """Each number summed over all ranks, in float64."""
    if size() == 1:
        return list(numbers)
    import torch
    import torch.distributed as dist

    sums = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(sums, group=_groups["numbers"])
    return sums.tolist()


def background() -> Any:
    """The process group of what threads do beside the main one (checkpoints); None if this process is alone."""
    return _groups["background"] if size() > 1 else None


def share(items: Sequence) -> list[tuple]:
    """This rank's items, each with weight 1; where others have one more, the first item again with weight 0.

    Sharded modules gather their weights in every forward and backward pass, so all ranks need equally many.
    """
    own = [(item, 1.0) for item in items[rank() :: size()]]
    longest = -(-len(items) // size())
    return own + [(items[0], 0.0)] * (longest - len(own))


def broadcast(topic: str, message: str) -> None:
    """From the first rank to all others, once a topic; read by `wait_for`."""
    if size() > 1:
        _messages().set(topic, message)


def wait_for(topic: str) -> str:
    """What the first rank broadcasts to a topic, however long it takes."""
    while not _messages().check([topic]):
        time.sleep(_POLL)
    return _messages().get(topic).decode()


def _messages() -> "KeyValueStore":
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store()


def _of_a_collective(error: RuntimeError) -> bool:
    from torch.distributed import DistError

    # Gloo raises plain RuntimeErrors, with a place in its own sources or the barrier's name.
    return isinstance(error, DistError) or any(sign in str(error) for sign in ("gloo", "monitoredBarrier"))


def _exchange_heartbeats(heartbeats: "KeyValueStore", own: int, count: int, silence: float) -> None:
    """Set this rank's heartbeat, and read those of the others; clocks of different machines are never compared.

    `own` and `count` are this rank and the number of ranks, also while the process works `alone`.
    """
    seen: dict[int, tuple[bytes, float]] = {}
    heartbeat = 0
    while not _over.wait(min(_HEARTBEAT, silence / 4)):
        heartbeat += 1
        try:
            heartbeats.set(f"beat/{own}", str(heartbeat))
            now = time.monotonic()
            for other in range(count):
                value = heartbeats.get(f"beat/{other}") if heartbeats.check([f"beat/{other}"]) else b""
                if other not in seen or seen[other][0] != value:
                    seen[other] = (value, now)
        except RuntimeError:  # the store lives with the first rank, or with torchrun
            _die(own, "the first rank or its torchrun is gone")
        silent = [other for other, (_, when) in seen.items() if now - when > silence]
        if silent:
            _die(own, f"no sign of life for {silence:.0f} s from rank {', '.join(map(str, silent))}")


def _die(own: int, why: str) -> None:
    if _over.is_set():
        return
    message = (
        f"error: rank {own} stops in `{_doing[-1]}`: {why}\n  remedy: run again; it goes on from the last checkpoint"
    )
    print(message, file=sys.stderr, flush=True)
    os._exit(75)
