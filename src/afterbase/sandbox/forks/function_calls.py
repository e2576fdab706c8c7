"""What a fork does for `python_calls.py`: it runs a program and calls its function.

Nothing but the standard library is imported here, so that a fork is small and holds nothing worth reading.
"""

import importlib
import json
from typing import Any

# What programs import most: loaded once here rather than in every fork, and before Landlock hides shared libraries.
_PRELOADED = """bisect collections collections.abc copy cmath datetime dataclasses decimal enum fractions functools
hashlib heapq itertools math operator re statistics string textwrap typing"""
OUT_OF_MEMORY = b'{"reason": "memory"}'


def load(_: str) -> None:
    """Import what programs import."""
    for name in _PRELOADED.split():
        importlib.import_module(name)


def answer(_: None, request: dict[str, Any]) -> bytes:
    """The program's report. Each result is written down at once: a later call may not change an earlier answer."""
    try:
        code = compile(request["program"], "<program>", "exec")
    except MemoryError:
        return OUT_OF_MEMORY
    except Exception:
        return b'{"reason": "compile"}'
    namespace: dict[str, Any] = {"__name__": "program"}
    results = []
    try:
        exec(code, namespace)
        function = namespace[request["function"]]
        for arguments in request["calls"]:
            value = function(*arguments)
            try:
                results.append(json.dumps(value))
            except (TypeError, ValueError, RecursionError):
                return b'{"reason": "not_json"}'
    except MemoryError:
        return OUT_OF_MEMORY
    except BaseException:
        return b'{"reason": "crash"}'
    return b'{"reason": "ok", "results": [' + ", ".join(results).encode() + b"]}"
