"""How fast an endpoint is asked: concurrency that grows by one and halves, waits that double, what the server asks for.

Additive increase and multiplicative decrease (Chiu and Jain, "Analysis of the increase and decrease algorithms for
congestion avoidance in computer networks", 1989) after a start that doubles (Jacobson, "Congestion avoidance and
control", 1988), as in TCP.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST_LIMIT = 4.0
_LONGEST_WAIT = 60.0


class Concurrency:
    """At most `limit` requests at once: more as they succeed, half when the server is overloaded.

    To be used within one event loop.
    """

    def __init__(self, maximum: int) -> None:
        self._max = maximum
        self.limit = min(_FIRST_LIMIT, maximum)
        self._running = 0
        self._changed = asyncio.Condition()
        self._closed_until = 0.0
        self._decreases = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[int]:
        """Wait for a turn and hold it; gives what `overloaded` wants to know."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._running < int(self.limit))
            self._running += 1
        try:
            while (wait := self._closed_until - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
            yield self._decreases
        finally:
            async with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def succeeded(self) -> None:
        """Double the limit a round until the first overload, and raise it by one a round from then on."""
        self.limit = min(self._max, self.limit + (1 / self.limit if self._decreases else 1))

    def overloaded(self, turn: int, *, retry_after: float | None) -> None:
        """Halve the limit, once for all the requests that were under way together; let nobody ask for a while."""
        if turn == self._decreases:
            self.limit = max(1.0, self.limit / 2)
            self._decreases += 1
        if retry_after is not None:
            self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + retry_after)


def backoff(attempt: int, *, first: float, random: random.Random) -> float:
    """Seconds before the next attempt: doubling from `first`, at most a minute, half of it by chance."""
    whole = min(_LONGEST_WAIT, first * 2.0**attempt)
    return whole / 2 + random.random() * whole / 2


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, given as seconds or as a date (RFC 9110, 10.2.3); None if none."""
    if header is None:
        return None
    try:
        seconds = float(header)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
