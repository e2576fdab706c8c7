"""The till of one call: before a request is sent, what it could cost at most is held back from the purse.

Money that others under way may not need comes back with their answers, so a request is only turned away when none is
left to wait for. Of several processes on one purse each sees what the others have paid, not what they hold back.

Does not cover: what a provider charges for attempts that break off.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from afterbase.core.errors import UserError
from afterbase.rollout.budget import Budget, prompt_bound
from afterbase.rollout.cache import RequestCache, Spent
from afterbase.rollout.chat import Answer, ChatRequest


class Till:
    """To be used within one event loop."""

    def __init__(self, cache: RequestCache, budget: Budget) -> None:
        self._cache = cache
        self._budget = budget
        self._held = 0.0
        self._holders = 0
        self._back = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, request: ChatRequest) -> AsyncIterator[bool]:
        """Hold back the most that the request may cost, until the block ends; False if the purse has not so much."""
        if self._budget.most is None:
            yield True
            return
        if request.max_tokens is None:
            raise UserError(
                "what a request costs has to be bounded where there is a `max_cost`",
                got="a request without a limit of tokens",
                remedy="set its `max_tokens`",
            )
        worst = self._budget.price.of(prompt=prompt_bound(request.messages), completion=request.max_tokens)
        async with self._back:
            await self._back.wait_for(lambda: self._fits(worst) or self._holders == 0)
            if not self._fits(worst):
                yield False
                return
            self._held += worst
            self._holders += 1
        try:
            yield True
        finally:
            async with self._back:
                self._held -= worst
                self._holders -= 1
                self._back.notify_all()

    def _fits(self, worst: float) -> bool:
        assert self._budget.most is not None
        held = self._held if self._holders else 0.0  # nothing of a sum's rounding stays
        return self._cache.spent(self._budget.purse).money + held + worst <= self._budget.most

    def paid(self, answer: Answer) -> tuple[str, Spent]:
        """The purse, and what an answer took from it."""
        money = self._budget.price.of(prompt=answer.prompt_tokens, completion=answer.tokens)
        return self._budget.purse, Spent(prompt_tokens=answer.prompt_tokens, tokens=answer.tokens, money=money)

    def empty(self) -> str:
        """What to say when it is."""
        spent = self._cache.spent(self._budget.purse)
        unit = self._budget.price.currency
        return f"{spent.money:.4f} of {self._budget.most:g} {unit} spent on {spent.requests} answers"
