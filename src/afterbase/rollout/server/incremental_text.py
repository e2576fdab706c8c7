"""The text of an answer while it grows: whole characters, cut before the first stop string. Also the bytes of a token.

A text is the UTF-8 of its tokens' bytes, so that it costs the same for each token and is the same however it is cut:
a byte that begins no character shows as U+FFFD. An id that the tokenizer does not know, as models with a padded
vocabulary have, adds nothing.
"""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

_BYTES = {character: byte for byte, character in bytes_to_unicode().items()}
_BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")  # SentencePiece's spelling of a byte that no other token holds


class TokenBytes:
    """What each token of a tokenizer adds to a text, in bytes, which need not be whole characters."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._added = {index: token.content for index, token in tokenizer.added_tokens_decoder.items()}
        decoder = tokenizer.backend_tokenizer.decoder
        kinds = set(_kinds(json.loads(decoder.__getstate__()))) if decoder is not None else set()
        self._by_byte, self._byte_tokens = "ByteLevel" in kinds, "ByteFallback" in kinds
        self._anchor = next((i for i in map(tokenizer.convert_tokens_to_ids, "aeA1.") if isinstance(i, int)), 0)
        self._continuing: dict[int, bytes] = {}

    def continuing(self, token_id: int) -> bytes:
        """Its bytes behind another token, a leading space among them."""
        spelt = self._continuing.get(token_id)
        if spelt is None:
            spelt = self._continuing[token_id] = self._spell(token_id, continuing=True)
        return spelt

    def first(self, token_id: int) -> bytes:
        """Its bytes at the beginning of a text, where some tokenizers show no leading space."""
        return self.continuing(token_id) if self._by_byte else self._spell(token_id, continuing=False)

    def _spell(self, token_id: int, *, continuing: bool) -> bytes:
        name = self._tokenizer.convert_ids_to_tokens(token_id)
        if not isinstance(name, str):
            return b""
        if self._by_byte:
            known = token_id not in self._added and all(character in _BYTES for character in name)
            return bytes(_BYTES[character] for character in name) if known else name.encode()
        byte = _BYTE_TOKEN.fullmatch(name) if self._byte_tokens else None
        if byte is not None:
            return bytes.fromhex(byte[1])
        if not continuing:
            return self._decode(token_id).encode()
        anchor, both = self._decode(self._anchor), self._decode(self._anchor, token_id)
        return (both.removeprefix(anchor) if both.startswith(anchor) else self._decode(token_id)).encode()

    def _decode(self, *token_ids: int) -> str:
        text = self._tokenizer.decode(list(token_ids), clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text


def _kinds(decoder: dict[str, Any]) -> Iterator[str]:
    """The decoder's type, and those of its parts."""
    yield decoder["type"]
    for part in decoder.get("decoders", ()):
        yield from _kinds(part)


class IncrementalText:
    """Pieces of text that will not change, token by token; joined they are the text of all tokens.

    With `continues` the tokens go on from others, and a leading space shows. A piece that may be the beginning of a
    stop string is held back. Once one is complete, `stopped` is true and the text ends before it. `length` counts the
    characters known so far.
    """

    def __init__(self, token_bytes: TokenBytes, stop: Sequence[str] = (), *, continues: bool = False) -> None:
        self._token_bytes = token_bytes
        self._stop = stop
        self._begun = continues
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._released = 0
        self.stopped = False

    @property
    def length(self) -> int:
        return self._released + len(self._held)

    def add(self, *token_ids: int) -> str:
        """What is certain after these tokens and was not before, often nothing."""
        spelt = []
        for token_id in token_ids:
            spelt.append((self._token_bytes.continuing if self._begun else self._token_bytes.first)(token_id))
            self._begun = True
        return self._release(self._characters.decode(b"".join(spelt)))

    def end(self) -> str:
        """The rest, after the last token."""
        if self.stopped:
            return ""
        certain = self._release(self._characters.decode(b"", final=True))
        rest, self._held = self._held, ""
        self._released += len(rest)
        return certain + rest

    def _release(self, piece: str) -> str:
        text = self._held + piece
        places = [place for place in map(text.find, self._stop) if place >= 0]
        self.stopped = bool(places)
        certain = min(places) if places else len(text) - _beginning(text, self._stop)
        self._held = "" if places else text[certain:]
        self._released += certain
        return text[:certain]


def _beginning(text: str, stops: Sequence[str]) -> int:
    """The length of the longest end of the text with which a stop string begins."""
    longest = max(map(len, stops), default=1) - 1
    sizes = range(min(longest, len(text)), 0, -1)
    return next((size for size in sizes if any(stop.startswith(text[-size:]) for stop in stops)), 0)
