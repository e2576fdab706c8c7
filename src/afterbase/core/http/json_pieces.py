"""A large JSON text, written piece by piece: Python's encoder would block other threads until its end."""

import json
from collections.abc import Iterator
from typing import Any

_DEEP = 5  # an answer, its choices, one of them, its log-probabilities, and the list of those
_AT_ONCE = 64  # items of a list of plain values; of lists and objects, one


def json_text(value: Any) -> bytes:
    """A value's JSON in UTF-8, its outer objects and lists in pieces that take no more than a millisecond or so.

    ValueError for NaN and infinities, which are no JSON.
    """
    return "".join(_pieces(value, depth=_DEEP)).encode()


def _pieces(value: Any, *, depth: int) -> Iterator[str]:
    if isinstance(value, dict) and value and depth:
        for place, (name, inner) in enumerate(value.items()):
            yield f"{',' if place else '{'}{_dumps(name)}:"
            yield from _pieces(inner, depth=depth - 1)
        yield "}"
    elif isinstance(value, list) and value:
        if isinstance(value[0], dict | list) and depth:
            for place, inner in enumerate(value):
                yield "," if place else "["
                yield from _pieces(inner, depth=depth - 1)
        else:
            for start in range(0, len(value), _AT_ONCE):
                yield ("," if start else "[") + _dumps(value[start : start + _AT_ONCE])[1:-1]
        yield "]"
    else:
        yield _dumps(value)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
