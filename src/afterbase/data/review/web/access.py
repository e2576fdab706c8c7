"""Who a request comes from, and that a page of ours sent it.

A reviewer's token is made from the database's secret, their name and how often it was withdrawn, so that it is the same
at every start and is stored nowhere. It arrives once, in the fragment of a link, which no server and no log ever sees;
then it lives in a cookie that scripts cannot read, that no other site's request carries, and behind TLS no plain one.
Every form has a second word made the same way; that its request's origin is this server is settled before
(`core/http/request_guard.py`).
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.exceptions import HTTPException

from afterbase.data.review.review_queue import LONGEST

MOST_BYTES = 12 * LONGEST + 10_000  # of a form: a character is 12 bytes at most as it is sent
_MOST_FIELDS = 20


def token(secret: bytes, run: str, name: str, withdrawn: int = 0) -> str:
    """A reviewer's token after so many withdrawals: 32 hexadecimal digits."""
    return _word(secret, "token", run, name, *([str(withdrawn)] if withdrawn else []))


def form_word(secret: bytes, run: str, name: str) -> str:
    """What a form of that reviewer's pages carries; of use to nobody without their token."""
    return _word(secret, "form", run, name)


def cookie_name(secret: bytes, run: str) -> str:
    """A cookie of this run's own: cookies are shared by all ports of a machine."""
    return f"afterbase-review-{_word(secret, 'cookie', run)[:8]}"


def who(secret: bytes, run: str, withdrawn: Mapping[str, int], given: str) -> str | None:
    """The reviewer whose token was given; `withdrawn` holds everybody's withdrawals by name."""
    found = None
    for name, times in withdrawn.items():  # all of them, so that the time tells nothing
        if same(token(secret, run, name, times), given):
            found = name
    return found


def same(a: str, b: str) -> bool:
    """Whether two words are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(a.encode(), b.encode())


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; HTTPException where it is none. Too large a one is cut off before (`request_guard.py`)."""
    body = await request.body()
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )  # fmt: skip
    except ValueError:
        raise HTTPException(400, "This is not a form of this page.") from None
    return dict(pairs)


def _word(secret: bytes, *parts: str) -> str:
    return hmac.new(secret, "\0".join(parts).encode(), hashlib.sha256).hexdigest()[:32]
