"""What the benchmarks share: runs in a process of their own, peak memory, and how a measure is told.

A line a measure, for people or, with `--json`, for programs.
"""

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def peak_memory() -> float:
    """Largest resident memory of this process so far, in GiB.

    Linux only: the peak that `getrusage` gives is not below that of the process which started this one.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 2**20


def in_a_process(run: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run, *arguments).result()


def tell(
    name: str, ours: float, unit: str, *, peer: float | None = None, ratio: float | None = None, as_json: bool
) -> None:
    """One measure; a `ratio` above 1 means that ours is better."""
    if as_json:
        print(json.dumps({"name": name, "ours": ours, "peer": peer, "unit": unit, "ratio": ratio}))
        return
    beside = "" if peer is None or ratio is None else f", peer {peer:,.4g}, ratio {ratio:.3g}"
    print(f"{name}: ours {ours:,.4g} {unit}{beside}")
