"""Which client works next on a shared machine: clients take turns, however much each has waiting."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from afterbase.core.http.request_guard import Refused


class FairSemaphore:
    """So many places at once; those who wait get them one of each client in turn. For one event loop."""

    def __init__(self, places: int, *, max_waiting: int) -> None:
        self._free = places
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """A place while the block runs. Refused (503) where the client has too much waiting already."""
        await self._place(client)
        try:
            yield
        finally:
            self._give_back()

    async def _place(self, client: str) -> None:
        if self._free:
            self._free -= 1
            return
        mine = self._waiting.setdefault(client, deque())
        if len(mine) >= self._max_waiting:
            raise Refused(503, "overloaded", f"{self._max_waiting} requests of yours are waiting", "try again later")
        place = asyncio.get_running_loop().create_future()
        mine.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(client, place)
            else:
                self._give_back()  # it came just then
            raise

    def _give_back(self) -> None:
        """To the next client that waits; it goes to the end of the line."""
        while self._waiting:
            client, mine = next(iter(self._waiting.items()))
            place = mine.popleft()
            self._waiting.move_to_end(client)
            if not mine:
                del self._waiting[client]
            if not place.cancelled():
                place.set_result(None)
                return
        self._free += 1

    def _forget(self, client: str, place: asyncio.Future[None]) -> None:
        mine = self._waiting.get(client)
        if mine is not None and place in mine:
            mine.remove(place)
            if not mine:
                del self._waiting[client]
