"""Text that grows: joined pieces are the decoded text, whole characters each, cut before the first stop string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.rollout.server.incremental_text import IncrementalText, TokenBytes
from tokenizer_kinds import byte_fallback, padded

TEXTS = st.lists(
    st.sampled_from(["a", "b", "ab", " ", "\n", "é", "漢字", "👩‍🚀", "<|end|>", "Let", "\ufffd"]), max_size=12
).map("".join)


@pytest.fixture(scope="module")
def encode(toy_tokenizer):
    return lambda text: toy_tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module")
def token_bytes(toy_tokenizer):
    return TokenBytes(toy_tokenizer)


def grown(
    token_bytes: TokenBytes, ids: list[int], stop: tuple[str, ...] = (), *, continues: bool = False
) -> tuple[list[str], IncrementalText]:
    text = IncrementalText(token_bytes, stop, continues=continues)
    pieces = []
    for token_id in ids:
        pieces.append(text.add(token_id))
        if text.stopped:
            break
    return [*pieces, text.end()], text


@given(text=TEXTS)
def test_pieces_are_the_text_and_never_split_a_character(token_bytes, encode, text):
    pieces, grown_text = grown(token_bytes, encode(text))
    assert "".join(pieces) == text
    assert grown_text.length == len(text)
    assert all(piece in text for piece in pieces)


@given(ids=st.lists(st.integers(0, 379), max_size=30))
def test_any_tokens_give_what_decoding_them_at_once_gives(toy_tokenizer, token_bytes, ids):
    assert "".join(grown(token_bytes, ids)[0]) == toy_tokenizer.decode(ids)


@given(text=TEXTS, stop=st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
def test_text_ends_before_the_first_stop_string(token_bytes, encode, text, stop):
    pieces, grown_text = grown(token_bytes, encode(text), tuple(stop))
    places = [text.find(s) for s in stop if s in text]
    shown = "".join(pieces)
    assert grown_text.stopped == bool(places)
    if not places:
        assert shown == text
        return
    # Which one comes first is known token by token: never a later one than in the whole text.
    assert text.startswith(shown)
    assert any(text.startswith(s, len(shown)) for s in stop)


def test_what_may_begin_a_stop_string_is_held_back(token_bytes, encode):
    text = IncrementalText(token_bytes, ("\n\n",))
    [newline] = encode("\n")
    assert [text.add(i) for i in (*encode("a"), newline)] == ["a", ""]
    assert text.add(*encode("b")) == "\nb"
    assert [text.add(newline), text.add(newline), text.end()] == ["", "", ""]
    assert text.stopped


@given(text=TEXTS)
def test_bytes_of_tokens_join_to_the_texts(token_bytes, encode, text):
    assert b"".join(token_bytes.continuing(i) for i in encode(text)) == text.encode()


WORDS = st.lists(
    st.sampled_from(["the", "He", "hello", " ", "  ", "\n", "é", "你", "👩‍🚀", "ok.", "<0x0A>"]), max_size=12
).map("".join)


@given(text=WORDS)
def test_a_tokenizer_with_byte_tokens_is_spelt_to_the_byte(text):
    tokenizer = byte_fallback()
    token_bytes, ids = TokenBytes(tokenizer), tokenizer(text, add_special_tokens=False)["input_ids"]
    assert "".join(grown(token_bytes, ids)[0]) == tokenizer.decode(ids) == text
    assert b"".join(token_bytes.continuing(i) for i in ids) == (f" {text}" if ids else "").encode()
    assert "".join(grown(token_bytes, ids, continues=True)[0]) == (f" {text}" if ids else "")


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [("<0x0A>", b"\n"), ("<0xE4>", b"\xe4"), ("▁the", b" the"), ("▁", b" "), ("<s>", b"<s>"), ("a", b"a")],
)
def test_a_token_alone_has_its_own_bytes(name, bytes_):
    tokenizer = byte_fallback()
    assert TokenBytes(tokenizer).continuing(tokenizer.get_vocab()[name]) == bytes_


@given(ids=st.lists(st.integers(3, 258), max_size=40))
def test_pieces_of_any_bytes_are_the_text_that_utf8_reads(ids):
    tokenizer = byte_fallback()
    pieces, text = grown(TokenBytes(tokenizer), ids)
    assert "".join(pieces) == bytes(i - 3 for i in ids).decode(errors="replace")
    assert text.length == sum(map(len, pieces))


def test_ids_beyond_the_tokenizer_add_nothing():
    tokenizer = padded()
    token_bytes, ids = TokenBytes(tokenizer), tokenizer("Hello world")["input_ids"]
    assert token_bytes.continuing(len(tokenizer)) == token_bytes.first(len(tokenizer) + 199) == b""
    assert "".join(grown(token_bytes, [len(tokenizer), *ids, len(tokenizer) + 7])[0]) == "Hello world"
