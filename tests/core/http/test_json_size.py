import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.http.json_size import has_more_values

TEXTS = st.text(st.characters(codec=None) | st.sampled_from('",[{\\'), max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=30,
)


def count(value: Any) -> int:
    """Commas and openings, told from what was read."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(0, len(inner) - 1) + sum(map(count, inner))


@given(VALUES, st.booleans())
def test_values_are_counted_and_letters_of_strings_are_not(value: Any, ascii_alone: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_alone).encode("utf-8", "surrogatepass")
    assert not has_more_values(text, count(value))
    assert count(value) == 0 or has_more_values(text, count(value) - 1)


@given(st.binary(max_size=30), st.integers(0, 5))
def test_any_bytes_have_a_count(text: bytes, maximum: int) -> None:
    assert has_more_values(text, maximum) in (True, False)
    assert not has_more_values(text, len(text))


def test_long_texts_are_not_many_values() -> None:
    assert not has_more_values(json.dumps({"prompt": 'a, "b", [{\\ ' * 10_000}).encode(), 1)
    assert has_more_values(b'{"prompt":[' + b"[]," * 1000 + b"[]]}", 2000)
    assert has_more_values(b'["' + b'","' * 1000 + b'"]', 999)
