"""Requests of a rollout server: right ones pass as they are, and anything else is refused with 400, never an error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.http.request_guard import Refused
from afterbase.rollout.vllm.vllm_server.request_checks import (
    Shape,
    generate_of,
    head_bytes,
    refuse_no_weights,
    score_of,
    update_of,
)

SHAPE = Shape(vocabulary=50, context=8)
SUM = "0" * 64
GOOD: dict[str, Any] = {
    "version": 3,
    "sha256": SUM,
    "prompts": [[1, 2], [49]],
    "rows": [[0, 0, 7], [0, 1, 2**63 - 1], [1, 0, 0]],
    "temperature": 0.7,
    "max_new_tokens": 4,
    "stop_token_ids": [3],
}
LATER = {"version": 3, "sha256": SUM, "token_ids": [1, 2, 3]}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(GOOD)), inner, max_size=4),
    max_leaves=20,
)


def test_right_requests_pass_as_they_are() -> None:
    assert generate_of(json.dumps(GOOD).encode(), SHAPE) == GOOD
    for changed in ({"temperature": 0}, {"temperature": 0.0}, {"stop_token_ids": []}, {"version": 0}):
        assert generate_of(json.dumps({**GOOD, **changed}).encode(), SHAPE) == {**GOOD, **changed}
    assert score_of(json.dumps(LATER).encode(), SHAPE) == LATER
    assert update_of(f"version=3&sha256={SUM}".encode(), 10) == (3, SUM)


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": [[0]]},
        {"rows": [[0, 1]]},
        {"rows": [0]},
        {"rows": []},
        {"rows": {}},
        {"rows": [[2, 0, 0]]},
        {"rows": [[-1, 0, 0]]},
        {"rows": [[0, -1, 0]]},
        {"rows": [[0, 0, 2**63]]},
        {"rows": [[0, 0, -1]]},
        {"rows": [[0, 0, 1.0]]},
        {"rows": [[True, 0, 0]]},
        {"rows": [[0, 0, "1"]]},
        {"rows": [[0, 0, 1], [0, 0, 2]]},
        {"prompts": []},
        {"prompts": [[]]},
        {"prompts": [[1], [50]]},
        {"prompts": [[-1], [1]]},
        {"prompts": [[True], [1]]},
        {"prompts": [[1.0], [1]]},
        {"prompts": ["12", [1]]},
        {"prompts": [[1] * 8, [1]]},
        {"prompts": None},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": 1e300},
        {"temperature": "1"},
        {"temperature": True},
        {"temperature": None},
        {"temperature": 1e-45},
        {"temperature": 9e-5},
        {"rows": [[0, i, 1] for i in range((1 << 20) + 1)]},
        {"max_new_tokens": 0},
        {"max_new_tokens": SHAPE.context},
        {"max_new_tokens": 2**31 - 1},
        {"max_new_tokens": 2**31},
        {"max_new_tokens": 1.5},
        {"max_new_tokens": None},
        {"stop_token_ids": None},
        {"stop_token_ids": [50]},
        {"stop_token_ids": ["1"]},
        {"stop_token_ids": [1] * 2000},
        {"version": None},
        {"version": -1},
        {"version": 2**63},
        {"version": "3"},
        {"sha256": None},
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"more": 1},
    ],
    ids=lambda changed: json.dumps(changed)[:40],
)
def test_what_is_out_of_type_or_range_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        generate_of(json.dumps({**GOOD, **changed}).encode(), SHAPE)
    assert refused.value.refusal.status == 400


@given(anything)
def test_any_json_is_taken_or_refused(value: Any) -> None:
    for read in (generate_of, score_of):
        with pytest.raises(Refused):
            read(json.dumps(value).encode(), SHAPE)


@given(st.sampled_from(sorted(GOOD)), anything)
def test_any_value_in_a_right_request_is_taken_or_refused(name: str, value: Any) -> None:
    try:
        assert generate_of(json.dumps({**GOOD, name: value}).encode(), SHAPE)[name] == value
    except Refused:
        assert value != GOOD[name]


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff", b'{"a": ' + b"9" * 5000 + b"}", b"null", b"NaN"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        generate_of(body, SHAPE)


@pytest.mark.parametrize(
    "query",
    ["", f"sha256={SUM}", "version=1", f"version=-1&sha256={SUM}", f"version=1.0&sha256={SUM}",
     f"version=1&sha256={SUM}0", f"version=1&version=2&sha256={SUM}", f"version=1&sha256={SUM}&more=1",
     f"version={'9' * 40}&sha256={SUM}"],
)  # fmt: skip
def test_an_update_is_named_exactly(query: str) -> None:
    with pytest.raises(Refused):
        update_of(query.encode(), 10)


def test_an_update_has_a_length() -> None:
    for length, status in ((None, 411), (0, 400)):
        with pytest.raises(Refused) as refused:
            update_of(f"version=1&sha256={SUM}".encode(), length)
        assert refused.value.refusal.status == status


def tensors(header: bytes, data: int) -> bytes:
    return len(header).to_bytes(8, "little") + header + bytes(data)


WHOLE = tensors(b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', 8)


def test_a_whole_safetensors_file_passes() -> None:
    assert head_bytes(WHOLE) == len(WHOLE) - 8
    refuse_no_weights(WHOLE[:-8], len(WHOLE))


@pytest.mark.parametrize(
    "changed",
    [
        {"data_offsets": [4, 12]},  # a hole
        {"data_offsets": [-4, 4]},
        {"data_offsets": [8, 8]},
        {"data_offsets": [0, 8, 8]},
        {"data_offsets": [0.0, 8.0]},
        {"dtype": "XX"},
        {"dtype": "F16"},
        {"dtype": None},
        {"shape": [3]},
        {"shape": [-1, -2]},
        {"shape": [2.0]},
        {"shape": "2"},
        {"shape": None},
        {"shape": [10**400, 0]},
    ],
)
def test_tensors_that_are_none_are_refused_before_they_are_loaded(changed: dict[str, Any]) -> None:
    """A loader fails at each of them when the weights before are gone already."""
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    for table in ({"w": {**one, **changed}}, {"a": {**one, **changed}, "w": one}):
        file = tensors(json.dumps(table).encode(), max(8, changed.get("data_offsets", [0, 8])[1].__trunc__()))
        with pytest.raises(Refused):
            refuse_no_weights(file, len(file))


def test_tensors_may_come_in_any_order_and_hold_nothing() -> None:
    table = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "BF16", "shape": [], "data_offsets": [4, 6]},
        "none": {"dtype": "F32", "shape": [0, 3], "data_offsets": [4, 4]},
        "a": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]},
    }
    file = tensors(json.dumps(table).encode(), 6)
    refuse_no_weights(file, len(file))


@pytest.mark.parametrize(
    "file",
    [b"", b"short", WHOLE[:-1], WHOLE + b"x", tensors(b"{}", 0), tensors(b"[]", 8), tensors(b"{", 8), b"\xff" * 40,
     tensors(b'{"w": 1}', 8), tensors(b'{"w": {"data_offsets": []}}', 8), tensors(b"[" * 100_000, 8)],
    ids=range(11),
)  # fmt: skip
def test_any_other_file_is_refused_before_it_is_loaded(file: bytes) -> None:
    with pytest.raises(Refused) as refused:
        refuse_no_weights(file[: head_bytes(file)], len(file))
    assert refused.value.refusal.status == 422
