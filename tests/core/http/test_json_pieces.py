"""Written in pieces, and the same text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.http import json_pieces
from afterbase.core.http.json_pieces import json_text

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aé"\n')
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("a:,"), inner))


@given(VALUES)
def test_the_text_is_that_of_the_encoder(value):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_pieces, "_AT_ONCE", 2)
        assert json.loads(json_text(value)) == value


def test_a_large_answer_is_written_in_small_pieces(monkeypatch):
    """Of one choice as of many: no call of the encoder sees more than a few hundred values."""
    candidates = [{"token": "a", "logprob": -1.0, "bytes": [97]}] * 20
    token = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": candidates}
    for choices, tokens in ((1, 500), (100, 5)):
        logprobs = {"content": [token] * tokens, "refusal": None}
        answer = {"choices": [{"index": 0, "logprobs": logprobs, "token_ids": list(range(1000))}] * choices}
        dumped: list[str] = []

        def dumps(value, dumped=dumped, **options) -> str:
            dumped.append(json.JSONEncoder(**options).encode(value))
            return dumped[-1]

        monkeypatch.setattr(json_pieces.json, "dumps", dumps)
        text = json_text(answer)
        monkeypatch.undo()
        assert json.loads(text) == answer
        assert max(map(len, dumped)) < 2000


@pytest.mark.parametrize("value", [float("nan"), {"a": [1.0] * 70 + [float("inf")]}])
def test_what_is_no_number_is_no_json(value):
    with pytest.raises(ValueError, match="JSON"):
        json_text(value)
