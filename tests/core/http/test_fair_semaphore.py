"""Places go to the clients in turn, none is lost, and who goes away takes no place along."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.http.fair_semaphore import FairSemaphore
from afterbase.core.http.request_guard import Refused


def order_of(wanted: list[str], *, places: int = 1) -> list[str]:
    """Who gets a place when, where all ask at once and one after the other works."""
    served: list[str] = []

    async def work(turns: FairSemaphore, client: str) -> None:
        async with turns.turn(client):
            served.append(client)
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        turns = FairSemaphore(places, max_waiting=1000)
        await asyncio.gather(*(work(turns, client) for client in wanted))

    asyncio.run(all_of_them())
    return served


def test_a_client_with_much_work_keeps_nobody_waiting() -> None:
    served = order_of(["a"] * 100 + ["b", "b", "c"])
    assert served.index("c") <= 3
    assert served[:6].count("b") == 2
    assert len(served) == 103


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 4))
def test_all_are_served_once_and_shares_are_even(wanted: list[str], places: int) -> None:
    served = order_of(wanted, places=places)
    assert sorted(served) == sorted(wanted)
    for client in set(wanted):
        others = [c for c in set(wanted) if c != client]
        for place, name in enumerate(served):
            if name == client:  # between two turns of a client that waits no other has had more than its share
                between = served[place + 1 :]
                until = between.index(client) if client in between else len(between)
                counts = [between[:until].count(other) for other in others if client in between]
                assert all(count <= 1 + places for count in counts)


@given(st.integers(0, 2**32))
def test_no_place_is_lost_where_clients_go_away(seed: int) -> None:
    chance = random.Random(seed)

    async def work(turns: FairSemaphore, client: str) -> None:
        async with turns.turn(client):
            await asyncio.sleep(0)

    async def some_leave() -> None:
        turns = FairSemaphore(2, max_waiting=1000)
        tasks = [asyncio.create_task(work(turns, chance.choice("abc"))) for _ in range(20)]
        for task in chance.sample(tasks, 10):
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(5), turns.turn("a"), turns.turn("b"):
            pass  # both places are there

    asyncio.run(some_leave())


def test_a_client_may_wait_with_so_much_and_no_more() -> None:
    async def many() -> None:
        turns = FairSemaphore(1, max_waiting=2)
        async with turns.turn("a"):
            waiting = [asyncio.create_task(turns._place("a")) for _ in range(2)]
            other = asyncio.create_task(turns._place("b"))
            await asyncio.sleep(0)
            with pytest.raises(Refused, match="are waiting"):
                await turns._place("a")
            for task in (*waiting, other):
                task.cancel()
            await asyncio.gather(*waiting, other, return_exceptions=True)

    asyncio.run(many())
