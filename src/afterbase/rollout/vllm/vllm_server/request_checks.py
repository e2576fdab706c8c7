"""What a rollout server is asked, looked at whole before any of it is used: types, ranges, and what the model takes."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from afterbase.core.http.request_guard import Refused

_NUMBERS = 2**63  # versions, seeds
_SAMPLES = 2**31
_COOLEST, _HOTTEST = 1e-4, 100.0
_MOST_ROWS = 1 << 20
_STOPS = 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_GENERATE = {"version", "sha256", "prompts", "rows", "temperature", "max_new_tokens", "stop_token_ids"}
_SCORE = {"version", "sha256", "token_ids"}
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_SAFETENSORS_HEADER = 100 << 20  # the format's own limit


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the model takes: token ids below `vocabulary`, prompts shorter than `context` tokens."""

    vocabulary: int
    context: int


def update_of(query: bytes, length: int | None) -> tuple[int, str]:
    """Version and checksum of `/update?version&sha256`."""
    fields = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    if fields.keys() != {"version", "sha256"} or any(len(values) != 1 for values in fields.values()):
        raise _wrong("an update names `version` and `sha256`, each once")
    (version,), (checksum,) = fields["version"], fields["sha256"]
    if not _DIGITS.fullmatch(version) or not _SHA256.fullmatch(checksum):
        raise _wrong("`version` is a number, and `sha256` 64 hexadecimal digits")
    if length is None:
        raise Refused(411, "length_required", "an update tells its length", "send Content-Length, not chunks")
    if length == 0:
        raise _wrong("an update brings weights")
    return int(version), checksum


def score_of(body: bytes, shape: Shape) -> dict[str, Any]:
    """A request for the log-probabilities of a text."""
    request = _object(body, _SCORE)
    _refuse_ids(request["token_ids"], "token_ids", shape, least=2)
    return request


def generate_of(body: bytes, shape: Shape) -> dict[str, Any]:
    """A request for completions."""
    request = _object(body, _GENERATE)
    prompts, rows, stops = request["prompts"], request["rows"], request["stop_token_ids"]
    if not isinstance(prompts, list) or not prompts:
        raise _wrong("`prompts` is a list of one prompt or more")
    for index, prompt in enumerate(prompts):
        _refuse_ids(prompt, f"prompts[{index}]", shape, least=1)
    if not isinstance(rows, list) or not 1 <= len(rows) <= _MOST_ROWS:
        raise _wrong(f"`rows` is a list of 1 to {_MOST_ROWS:,} [prompt, sample, seed]")
    for index, row in enumerate(rows):
        if not (isinstance(row, list) and len(row) == 3 and all(type(number) is int for number in row)):
            raise _wrong(f"rows[{index}] is [prompt, sample, seed], three numbers")
        prompt, sample, seed = row
        if not (0 <= prompt < len(prompts) and 0 <= sample < _SAMPLES and 0 <= seed < _NUMBERS):
            raise _wrong(f"rows[{index}] names one of {len(prompts)} prompts, a sample and a seed, from 0 on")
    if len({(prompt, sample) for prompt, sample, _ in rows}) < len(rows):
        raise _wrong("`rows` has each sample of a prompt once")
    temperature, most = request["temperature"], request["max_new_tokens"]
    number = type(temperature) in (int, float) and math.isfinite(temperature)
    if not number or not (temperature == 0 or _COOLEST <= temperature <= _HOTTEST):
        raise _wrong(f"`temperature` is 0, or a number from {_COOLEST:g} to {_HOTTEST:g}")
    if type(most) is not int or not 1 <= most < shape.context:
        raise _wrong(f"`max_new_tokens` is a number from 1 to {shape.context - 1}")
    if not isinstance(stops, list) or len(stops) > _STOPS:
        raise _wrong(f"`stop_token_ids` is a list of {_STOPS} at most")
    if not all(type(token) is int and 0 <= token < shape.vocabulary for token in stops):
        raise _wrong(f"`stop_token_ids` are numbers from 0 to {shape.vocabulary - 1}")
    return request


def refuse_no_weights(head: bytes, length: int) -> None:
    """Refused unless a file of `length` bytes that begins with `head` is one of safetensors, with all of its bytes."""
    try:
        size = int.from_bytes(head[:8], "little")
        if not 2 <= size <= min(_SAFETENSORS_HEADER, length - 8):
            raise ValueError
        table = json.loads(head[8 : 8 + size])
        table.pop("__metadata__", None)
        whole = bool(table) and _end(table) == length - 8 - size
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise Refused(422, "no_weights", "an update is one safetensors file", "send the whole file")


def _end(table: dict[str, Any]) -> int:
    """Where the last tensor ends, if each begins where another one ends, and is as long as its shape and type are."""
    at = 0
    for tensor in sorted(table.values(), key=lambda tensor: tensor["data_offsets"]):
        (begin, end), shape = tensor["data_offsets"], tensor["shape"]
        if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
            raise ValueError
        if begin != at or 8 * (end - begin) != _BITS[tensor["dtype"]] * math.prod(shape):
            raise ValueError
        at = end
    return at


def head_bytes(first: bytes) -> int:
    """How much of a safetensors file `refuse_no_weights` wants to see, by its first eight bytes."""
    return 8 + min(int.from_bytes(first[:8], "little"), _SAFETENSORS_HEADER)


def _object(body: bytes, names: set[str]) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise _wrong("the body is JSON") from None
    if not isinstance(request, dict) or request.keys() != names:
        raise _wrong(f"the body is an object of {', '.join(sorted(names))}")
    if type(request["version"]) is not int or not 0 <= request["version"] < _NUMBERS:
        raise _wrong("`version` is a number from 0 on")
    if not isinstance(request["sha256"], str) or not _SHA256.fullmatch(request["sha256"]):
        raise _wrong("`sha256` is 64 hexadecimal digits")
    return request


def _refuse_ids(ids: Any, what: str, shape: Shape, *, least: int) -> None:
    if not isinstance(ids, list) or not least <= len(ids) < shape.context:
        got = f", and these are {len(ids)}" if isinstance(ids, list) else ""
        raise _wrong(f"`{what}` is a list of {least} to {shape.context - 1} token ids{got}")
    if not all(type(token) is int and 0 <= token < shape.vocabulary for token in ids):
        raise _wrong(f"`{what}` are numbers from 0 to {shape.vocabulary - 1}")


def _wrong(rule: str) -> Refused:
    return Refused(400, "invalid_request", rule, "see vllm_server/serving.py for what a rollout server takes")


def error_body(rule: str, remedy: str, code: str) -> bytes:
    """This server's form of an error."""
    fields: Mapping[str, str] = {"error": f"{rule}: {remedy}", "code": code}
    return json.dumps(fields).encode()
