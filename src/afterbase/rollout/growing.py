"""The text of an answer while it grows: whole characters, cut before the first stop string. And a token's bytes."""

from collections.abc import Sequence

from tokenizers import decoders
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

_INCOMPLETE = "\ufffd"  # what decoding gives for the beginning of a character
_BYTES = {character: byte for byte, character in bytes_to_unicode().items()}


class GrowingText:
    """Pieces of text that will not change, token by token; joined they are the text of all tokens.

    A piece that may be the beginning of a stop string is held back. Once one is complete, `stopped` is true and the
    text ends before it. `length` counts the characters known so far.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._ids: list[int] = []
        # A piece is decoded behind the one before it: some tokenizers treat the first token of a text apart.
        self._before, self._known = 0, 0
        self._held = ""
        self._released = 0
        self.stopped = False

    @property
    def length(self) -> int:
        return self._released + len(self._held)

    def add(self, *token_ids: int) -> str:
        """What is certain after these tokens and was not before, often nothing."""
        self._ids.extend(token_ids)
        piece = self._piece()
        if piece.endswith(_INCOMPLETE):
            return ""
        self._before, self._known = self._known, len(self._ids)
        return self._release(piece)

    def end(self) -> str:
        """The rest, after the last token."""
        if self.stopped:
            return ""
        certain = self._release(self._piece())
        rest, self._held = self._held, ""
        self._released += len(rest)
        return certain + rest

    def _piece(self) -> str:
        known = self._decode(self._ids[self._before : self._known])
        return self._decode(self._ids[self._before :])[len(known) :]

    def _decode(self, ids: list[int]) -> str:
        text = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

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


def token_bytes(tokenizer: PreTrainedTokenizerFast, token_id: int) -> bytes:
    """The UTF-8 bytes that a token stands for, which need not be whole characters."""
    name = tokenizer.convert_ids_to_tokens(token_id)
    assert isinstance(name, str)
    by_byte = isinstance(tokenizer.backend_tokenizer.decoder, decoders.ByteLevel)
    if by_byte and token_id not in tokenizer.added_tokens_decoder:
        return bytes(_BYTES[character] for character in name)
    text = tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text.encode()
