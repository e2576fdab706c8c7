"""Text that grows: joined pieces are the decoded text, whole characters each, cut before the first stop string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.rollout.growing import GrowingText, token_bytes

TEXTS = st.lists(
    st.sampled_from(["a", "b", "ab", " ", "\n", "é", "漢字", "👩‍🚀", "<|end|>", "Let", "\ufffd"]), max_size=12
).map("".join)


@pytest.fixture(scope="module")
def encode(toy_tokenizer):
    return lambda text: toy_tokenizer(text, add_special_tokens=False)["input_ids"]


def grown(tokenizer, ids: list[int], stop: tuple[str, ...] = ()) -> tuple[list[str], GrowingText]:
    text = GrowingText(tokenizer, stop)
    pieces = []
    for token_id in ids:
        pieces.append(text.add(token_id))
        if text.stopped:
            break
    return [*pieces, text.end()], text


@given(text=TEXTS)
def test_pieces_are_the_text_and_never_split_a_character(toy_tokenizer, encode, text):
    pieces, grown_text = grown(toy_tokenizer, encode(text))
    assert "".join(pieces) == text
    assert grown_text.length == len(text)
    assert all(piece in text for piece in pieces)


@given(ids=st.lists(st.integers(0, 379), max_size=30))
def test_any_tokens_give_what_decoding_them_at_once_gives(toy_tokenizer, ids):
    assert "".join(grown(toy_tokenizer, ids)[0]) == toy_tokenizer.decode(ids)


@given(text=TEXTS, stop=st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
def test_text_ends_before_the_first_stop_string(toy_tokenizer, encode, text, stop):
    pieces, grown_text = grown(toy_tokenizer, encode(text), tuple(stop))
    places = [text.find(s) for s in stop if s in text]
    shown = "".join(pieces)
    assert grown_text.stopped == bool(places)
    if not places:
        assert shown == text
        return
    # Which one comes first is known token by token: never a later one than in the whole text.
    assert text.startswith(shown)
    assert any(text.startswith(s, len(shown)) for s in stop)


def test_what_may_begin_a_stop_string_is_held_back(toy_tokenizer, encode):
    text = GrowingText(toy_tokenizer, ("\n\n",))
    [newline] = encode("\n")
    assert [text.add(i) for i in (*encode("a"), newline)] == ["a", ""]
    assert text.add(*encode("b")) == "\nb"
    assert [text.add(newline), text.add(newline), text.end()] == ["", "", ""]
    assert text.stopped


@given(text=TEXTS)
def test_bytes_of_tokens_join_to_the_texts(toy_tokenizer, encode, text):
    assert b"".join(token_bytes(toy_tokenizer, i) for i in encode(text)) == text.encode()
