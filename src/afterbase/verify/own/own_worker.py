"""A worker process: it imports the user's module once, then calls the function for answer after answer.

It is started with two descriptors: a connection, and a pipe whose other end its parent holds, so that it ends with the
parent. Standard library alone: what a worker needs to start is paid for by each.

Messages to it, pickled: {"load": ...} once, then lists of (number, keywords). From it: what was loaded, then (number,
outcome) for each answer. An outcome is {"value", "right"}, {"verdict"}, or {"failed", "detail"}.
"""

import asyncio
import importlib
import importlib.util
import inspect
import math
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

PLURALS = {
    **{"prompt": "prompts", "response": "responses", "row": "rows", "answer": "answers", "thought": "thoughts"},
    **{"gold": "golds", "problem_id": "problem_ids"},
}
"""What a function of a batch calls the lists; `tokens` and `truncated` are lists of that name."""
KEYWORDS = (*PLURALS, "tokens", "truncated", "step")
DEADLINE, MEMORY_GIB, CONCURRENCY = 10.0, 4.0, 32
_SOLVED = 0.5
_LONGEST = 300  # characters of a detail


def serve(door: Connection, lifeline: int, call: Callable[..., Any] | None = None) -> None:
    """Load the function, or take `call`, and answer until the parent is gone or says None."""
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    worker = os.getpid()
    try:
        order = door.recv()
        try:
            function = call or _loaded(**order)
            told = _described(function)
        except BaseException as error:
            door.send({"refused": _detail(error)})
            return
        if "refused" not in told:
            _limit_memory(told["memory_gib"])
        _end_copy(worker)
        door.send(told)
        while (asked := door.recv()) is not None:
            for outcome in _outcomes(function, told, asked):
                _end_copy(worker)
                _flush()
                door.send(outcome)
    except (EOFError, BrokenPipeError, ConnectionError):
        return


def _end_copy(worker: int) -> None:
    """End a process that the user's code forked and let go on as its parent does: it would answer a second time."""
    if os.getpid() != worker:
        os._exit(0)


def _end_with_parent(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os._exit(1)


def _loaded(file: str, module: str, name: str, folders: list[str]) -> Callable[..., Any]:
    """The function, of a file as a script's own folder would have it, or of a module."""
    sys.path[:0] = folders
    loaded = importlib.import_module(module) if module else _from_file(file)
    return getattr(loaded, name)


def _from_file(file: str) -> ModuleType:
    name = Path(file).stem
    if name in sys.modules:
        name = f"{name}_of_the_user"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _described(function: Any) -> dict[str, Any]:
    """Kind, keywords and limits; {"refused": why} for a function that cannot be called with what there is."""
    if not callable(function):
        return {"refused": f"it is {type(function).__name__}, and no function"}
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    batch = getattr(function, "batch", None)
    batch = bool(batch) if batch is not None else bool({"prompts", "responses", "rows"} & {*names})
    known = {*KEYWORDS, *(PLURALS.values() if batch else ())}
    for p in parameters:
        if p.default is not p.empty or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        if p.kind is p.POSITIONAL_ONLY or p.name not in known:
            said = f"it needs `{p.name}`" + (" by position" if p.kind is p.POSITIONAL_ONLY else "")
            return {"refused": f"{said}; there are, by keyword, {', '.join(sorted(known))}"}
    limits = {
        "deadline": getattr(function, "deadline", DEADLINE),
        "memory_gib": getattr(function, "memory_gib", MEMORY_GIB),
        "concurrency": getattr(function, "concurrency", CONCURRENCY),
    }
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            return {"refused": f"its attribute `{name}` is {value!r}, and no number above 0"}
    awaits = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    return {"names": names, "open": open_ended, "batch": batch, "async": awaits, **limits}


def _limit_memory(gib: float) -> None:
    """Of what the process allocates from now on, beside what it already has (the module with all that it imports)."""
    status = Path("/proc/self/status").read_text()
    held = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmData"))
    most = held + int(gib * (1 << 30))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _outcomes(
    function: Callable[..., Any], told: dict[str, Any], asked: list[tuple[int, dict[str, Any]]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, outcome) of each answer, as it is known."""
    if told["batch"]:
        yield from zip((number for number, _ in asked), _of_batch(function, told, asked), strict=True)
    elif told["async"]:
        yield from _side_by_side(function, told, asked)
    else:
        for number, keywords in asked:
            yield number, _one(partial(_called, function, _chosen(told, keywords)))


def _called(function: Callable[..., Any], keywords: dict[str, Any]) -> Any:
    value = function(**keywords)
    return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value


def _same(value: Any) -> Any:
    return value


async def _awaited(value: Any) -> Any:
    return await value


def _one(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        return _outcome(call())
    except BaseException as error:
        return _failed(error)


def _of_batch(
    function: Callable[..., Any], told: dict[str, Any], asked: list[tuple[int, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The outcomes of one call with lists; one that fails as a whole fails for every answer."""
    columns: dict[str, Any] = {name: [keywords[name] for _, keywords in asked] for name in asked[0][1]}
    columns["step"] = asked[0][1]["step"]
    lists = {PLURALS.get(name, name): column for name, column in columns.items()}
    lists |= {name: columns[name] for name in told["names"] if name in columns}  # in the singular, where asked for so
    try:
        values = _called(function, _chosen(told, lists))
        values = values.tolist() if hasattr(values, "tolist") else values
        if not isinstance(values, list | tuple):
            detail = f"a function of a batch returns a list, and this one {type(values).__name__}"
            return [{"failed": "no_list", "detail": detail}] * len(asked)
        if len(values) != len(asked):
            detail = f"{len(values)} values for {len(asked)} answers"
            return [{"failed": "wrong_count", "detail": detail}] * len(asked)
        return [_one(partial(_same, value)) for value in values]
    except BaseException as error:
        return [_failed(error)] * len(asked)


def _side_by_side(
    function: Callable[..., Any], told: dict[str, Any], asked: list[tuple[int, dict[str, Any]]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Coroutines in one loop, so many at once as the function allows, each with the deadline of its own."""
    loop = asyncio.new_event_loop()
    done: asyncio.Queue[tuple[int, dict[str, Any]]] = asyncio.Queue()
    places = asyncio.Semaphore(int(told["concurrency"]))

    async def one(number: int, keywords: dict[str, Any]) -> None:
        async with places:
            began = time.monotonic()
            try:
                outcome = _outcome(await asyncio.wait_for(function(**_chosen(told, keywords)), told["deadline"]))
            except TimeoutError as error:
                late = time.monotonic() - began >= told["deadline"]
                detail = f"no value after {told['deadline']:g} seconds"
                outcome = {"failed": "timeout", "detail": detail} if late else _failed(error)
            except BaseException as error:
                outcome = _failed(error)
        await done.put((number, outcome))

    tasks = [loop.create_task(one(number, keywords)) for number, keywords in asked]
    try:
        for _ in tasks:
            yield loop.run_until_complete(done.get())
        loop.run_until_complete(asyncio.gather(*tasks))
    finally:
        loop.close()


def _chosen(told: dict[str, Any], keywords: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if told["open"] or name in told["names"]}


def _outcome(value: Any) -> dict[str, Any]:
    """What a returned value stands for: a bool, a finite number, a Verdict or a dict like it; else a failure."""
    if hasattr(value, "as_dict"):
        value = value.as_dict()
    if isinstance(value, dict):
        return _of_verdict(value)
    if value is None:
        return {"failed": "no_value", "detail": "it returned None"}
    if not isinstance(value, bool | int | float) and hasattr(value, "item"):
        value = value.item()  # a scalar of numpy or torch
    if isinstance(value, str | bytes | complex) or not hasattr(value, "__float__"):
        return {"failed": "not_a_number", "detail": f"it returned {_short(value)}, of type {type(value).__name__}"}
    number = float(value)
    if not math.isfinite(number):
        return {"failed": "not_finite", "detail": f"it returned {number}"}
    return {"value": number, "right": number > _SOLVED}


def _of_verdict(verdict: dict[str, Any]) -> dict[str, Any]:
    """A dictionary with a value, and with a status and a reason where they are not those of the value."""
    given = verdict.get("value")
    value = float(given) if isinstance(given, int | float) else math.nan
    status = str(verdict.get("status", "ok" if value > _SOLVED else "wrong"))
    reason = verdict.get("reason", status)
    unknown = verdict.keys() - {"verifier", "status", "value", "reason"}
    if unknown or status not in ("ok", "wrong", "failed") or not math.isfinite(value) or not isinstance(reason, str):
        detail = f"it returned {_short(verdict)}; a verdict has value, status (ok, wrong or failed) and reason"
        return {"failed": "no_verdict", "detail": detail}
    return {"verdict": {"status": status, "value": value, "reason": reason}}


def _failed(error: BaseException) -> dict[str, Any]:
    reason = {MemoryError: "memory", SystemExit: "exited"}.get(type(error), "raised")
    return {"failed": reason, "detail": _detail(error)}


def _detail(error: BaseException) -> str:
    """The last line of the traceback, and the place where it was raised."""
    said = traceback.format_exception_only(error)[-1].strip()
    frames = traceback.extract_tb(error.__traceback__)
    last = next((frame for frame in reversed(frames) if frame.filename != __file__), None)
    place = f" ({Path(last.filename).name}:{last.lineno})" if last is not None else ""
    return f"{said[:_LONGEST]}{place}"


def _short(value: Any) -> str:
    return repr(value)[:80]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # the user has closed or replaced it
            continue


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle; it ends its workers
    door_fd, lifeline_fd = (int(number) for number in sys.argv[1:])
    for descriptor in (door_fd, lifeline_fd):
        os.set_inheritable(descriptor, False)
    serve(Connection(door_fd), lifeline_fd)
