"""What may be spent at an endpoint: requests, tokens, money. Before each attempt, the most it can cost is set aside.

So a limit is never passed, whatever the server writes, as long as a token is a byte of text at least and the server
keeps to `max_tokens`. What comes back is settled by the server's own count; an attempt that broke off may have been
billed, and stays at its most. Does not cover: several processes that share a budget, tokens of hidden reasoning that a
server bills and does not count.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt
from pydantic import model_validator

from afterbase.core.config import Config
from afterbase.core.errors import UserError

_MESSAGE_TOKENS = 16  # of a chat template around each message


class Limits(Config):
    """The most of each; None is no limit. Prices are per million tokens, in the currency of `money`."""

    requests: Annotated[int, Ge(1)] | None = None
    tokens: Annotated[int, Ge(1)] | None = None
    """Of prompts and answers together."""
    money: Annotated[float, Gt(0)] | None = None
    prompt_price: Annotated[float, Ge(0)] = 0.0
    answer_price: Annotated[float, Ge(0)] = 0.0

    @model_validator(mode="after")
    def _priced(self) -> "Limits":
        if self.money is not None and self.prompt_price == self.answer_price == 0:
            raise UserError(
                "a limit on money needs prices", got=f"money = {self.money}", remedy="set prompt_price and answer_price"
            )
        return self


@dataclass
class Spent:
    """Attempts that were sent, tokens, and money."""

    requests: int = 0
    tokens: int = 0
    money: float = 0.0


class Budget:
    """What is left of `limits`, for one event loop at a time; `spent` has what is set aside in it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.spent = Spent()

    def count(self, answers: Iterable[dict[str, Any]]) -> None:
        """Add what earlier answers, kept in a cache, have cost."""
        for body in answers:
            self._add(1, *_usage(body, (0, 0)))

    def hold(self, request: dict[str, Any]) -> tuple[int, int] | None:
        """Set aside the most that an attempt can cost, as tokens (prompt, answer); None where that is not there."""
        texts = [m["content"] for m in request["messages"]] if "messages" in request else [request["prompt"]]
        prompt = sum(len(text.encode("utf-8", "surrogatepass")) + _MESSAGE_TOKENS for text in texts)
        held = prompt, request.get("max_tokens", 0)
        self._add(1, *held)
        limits, spent = self.limits, self.spent
        if (
            (limits.requests is not None and spent.requests > limits.requests)
            or (limits.tokens is not None and spent.tokens > limits.tokens)
            or (limits.money is not None and spent.money > limits.money)
        ):
            self._add(-1, -held[0], -held[1])
            return None
        return held

    def settle(self, held: tuple[int, int], answer: dict[str, Any] | None) -> None:
        """Replace what was set aside by what the answer says it cost; None: the server did no work."""
        used = (0, 0) if answer is None else _usage(answer, held)
        self._add(0, used[0] - held[0], used[1] - held[1])

    def __str__(self) -> str:
        limits = ", ".join(f"{k} = {v}" for k, v in self.limits.model_dump().items() if v)
        spent = self.spent
        return (
            f"{spent.requests} requests, {spent.tokens} tokens and {spent.money:.2f} of money spent; limits: {limits}"
        )

    def _add(self, requests: int, prompt: int, answer: int) -> None:
        self.spent.requests += requests
        self.spent.tokens += prompt + answer
        cost = (prompt * self.limits.prompt_price + answer * self.limits.answer_price) / 1e6
        self.spent.money = max(0.0, self.spent.money + cost)


def _usage(body: dict[str, Any], unknown: tuple[int, int]) -> tuple[int, int]:
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt, answer = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (prompt if isinstance(prompt, int) else unknown[0], answer if isinstance(answer, int) else unknown[1])
