"""What a server sends back, read up to a limit: bytes count as they are after decompression, while they come."""

import json
import zlib
from typing import Any

import httpx

MOST_BYTES = 64 << 20  # of one answer: a million tokens with twenty candidates each
_EITHER = zlib.MAX_WBITS + 32  # gzip or zlib, as the header says


class UnfitError(Exception):
    """A reply that is too large, or compressed as nobody asked for; it would be so again."""


class HttpReply:
    """The body of a response; to be opened with the client's `stream`, and added to with its raw pieces."""

    def __init__(self, response: httpx.Response, *, most: int = MOST_BYTES) -> None:
        """Raises UnfitError for a compression other than gzip and deflate."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise UnfitError(f"a reply in `{encoding[:80]}`, which was not asked for")
        self._inflate = None if encoding in ("", "identity") else zlib.decompressobj(_EITHER)
        self._most = most
        self.content = bytearray()

    def add(self, raw: bytes) -> None:
        """Raises UnfitError beyond the limit, and httpx.DecodingError where the compression is broken."""
        room = self._most - len(self.content) + 1
        try:
            self.content += raw[:room] if self._inflate is None else self._inflate.decompress(raw, room)
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from None
        if len(self.content) > self._most:
            raise UnfitError(f"a reply of more than {self._most:,} bytes")

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """Raises JSONDecodeError where it is no JSON, and UnfitError where it is some, but its bytes are no UTF-8."""
        try:
            return json.loads(self.content.decode())
        except RecursionError:
            raise json.JSONDecodeError("nested without end", "", 0) from None
        except UnicodeDecodeError as error:
            json.loads(self.text)
            raise UnfitError(f"JSON is UTF-8: {error}") from None


async def read(response: httpx.Response) -> HttpReply:
    """All of it. Raises as `HttpReply` does."""
    reply = HttpReply(response)
    async for raw in response.aiter_raw():
        reply.add(raw)
    return reply
