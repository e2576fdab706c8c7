"""What is held back comes back, and a request is turned away only where nothing is left to wait for."""

import asyncio

from afterbase.rollout.budget import Budget, Price
from afterbase.rollout.cache import RequestCache
from afterbase.rollout.chat import Answer, ChatRequest
from afterbase.rollout.till import Till

REQUEST = ChatRequest(messages=[], temperature=1.0, max_tokens=10)
BUDGET = Budget(purse="p", price=Price(prompt=0.0, completion=1e6), most=15.0)


def answer(tokens: int) -> Answer:
    return Answer(text="", reasoning=None, tokens=tokens, finish="stop", logps=None)


def test_the_second_waits_for_the_first(tmp_path):
    async def scene(till: Till, cache: RequestCache) -> list[str]:
        told: list[str] = []
        first_holds, second_waits = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with till.hold(REQUEST) as granted:
                assert granted
                first_holds.set()
                await second_waits.wait()
                purse, spent = till.paid(answer(4))
                cache.put("k", {}, tokens=4, purse=purse, spent=spent)
                told.append("first paid")

        async def second() -> None:
            await first_holds.wait()
            second_waits.set()
            async with till.hold(REQUEST) as granted:
                told.append(f"second {granted}")

        await asyncio.gather(first(), second())
        async with till.hold(REQUEST) as granted:
            told.append(f"third {granted}")
        return told

    with RequestCache(tmp_path / "c") as cache:
        told = asyncio.run(scene(Till(cache, BUDGET), cache))
        assert told == ["first paid", "second True", "third True"]
        cache.put("l", {}, tokens=2, purse="p", spent=Till(cache, BUDGET).paid(answer(2))[1])

        async def turned_away(till: Till) -> bool:
            async with till.hold(REQUEST) as granted:
                return granted

        assert not asyncio.run(turned_away(Till(cache, BUDGET))), "6 are spent, and 16 could be"
        assert "6.0000 of 15 USD spent on 2 answers" in Till(cache, BUDGET).empty()
