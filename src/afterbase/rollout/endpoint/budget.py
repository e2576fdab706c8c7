"""What may be spent at an endpoint: requests, tokens, money. Before each attempt, the most it can cost is set aside.

So a limit is never passed, whatever the server writes, as long as a token is a byte of text at least and the server
keeps to `max_tokens`. An answer is charged by the server's own count, and paid from an account that lies in the
request cache, in the same commit as the answer: what was spent before a kill, and by other processes, is in it. An
attempt that broke off may have been billed, and stays at its most while the process lasts. Does not cover: what other
processes have set aside and not paid yet, tokens of hidden reasoning that a server bills and does not count.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from annotated_types import Ge, Gt
from pydantic import model_validator

from afterbase.core.config import Config
from afterbase.core.errors import UserError

BYTES_OF_A_TOKEN = 4  # of English text in a token, about
_MESSAGE_TOKENS = 16  # of a chat template around each message


class Limits(Config):
    """The most of each; None is no limit. Prices are per million tokens, in the currency of `money`."""

    requests: Annotated[int, Ge(1)] | None = None
    """Attempts that are sent."""
    tokens: Annotated[int, Ge(1)] | None = None
    """Of prompts and answers together."""
    money: Annotated[float, Gt(0)] | None = None
    """In the currency of the prices."""
    prompt_price: Annotated[float, Ge(0)] = 0.0
    """Money for a million tokens of prompts."""
    answer_price: Annotated[float, Ge(0)] = 0.0
    """Money for a million tokens of answers."""

    @model_validator(mode="after")
    def _priced(self) -> "Limits":
        if self.money is not None and self.prompt_price == self.answer_price == 0:
            raise UserError(
                "a limit on money needs prices", got=f"money = {self.money}", remedy="set prompt_price and answer_price"
            )
        return self

    def cost(self, *, prompt: int, answer: int) -> float:
        """Money for so many tokens."""
        return (prompt * self.prompt_price + answer * self.answer_price) / 1e6


@dataclass(frozen=True)
class Spent:
    """Attempts that were sent, tokens of prompts and answers together, and money."""

    requests: int = 0
    tokens: int = 0
    money: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.requests + other.requests, self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.requests - other.requests, self.tokens - other.tokens, self.money - other.money)


class Accounts(Protocol):
    """Where accounts lie: a request cache."""

    def spent(self, account: str) -> Spent: ...


class Budget:
    """What is left of `limits`, for one event loop at a time, of all that is paid from one account.

    Without accounts, what came of earlier attempts is this budget's own.
    """

    def __init__(self, limits: Limits, *, account: str = "") -> None:
        self.limits = limits
        self.account = account
        self.under_way = 0
        """Attempts that may give back some of what is set aside for them."""
        self._accounts: Accounts | None = None
        self._paid = Spent()  # from the account, when it was last seen
        self._held = Spent()
        self._lost = Spent()  # what broke off, and what was answered where there is no account

    @contextmanager
    def use(self, accounts: Accounts | None) -> Iterator[None]:
        """Pay from an account in there until the block ends; what was spent is known after it, too."""
        self._accounts = accounts
        try:
            yield
        finally:
            if accounts is not None:
                self._paid = accounts.spent(self.account)
            self._accounts = None
            if self.under_way:  # a deadline came first
                self._lost, self._held, self.under_way = self._lost + self._held, Spent(), 0

    @property
    def spent(self) -> Spent:
        """All of it, with what is set aside."""
        held = self._held if self.under_way else Spent()  # nothing of a sum's rounding stays
        paid = self._paid if self._accounts is None else self._accounts.spent(self.account)
        return paid + self._lost + held

    def hold(self, request: dict[str, Any]) -> tuple[int, int] | None:
        """Set aside the most that an attempt can cost, as tokens (prompt, answer); None where that is not there.

        Raises UserError for a request without a limit of tokens, where its cost is limited.
        """
        limits = self.limits
        if "max_tokens" not in request and (limits.tokens is not None or limits.money is not None):
            raise UserError(
                "what a request costs has to be bounded where there is a limit",
                got="a request without a limit of tokens",
                remedy="set its `max_tokens`",
            )
        held = prompt_bound(_texts(request)), request.get("max_tokens", 0)
        spent = self.spent + self._cost(*held)
        if (
            (limits.requests is not None and spent.requests > limits.requests)
            or (limits.tokens is not None and spent.tokens > limits.tokens)
            or (limits.money is not None and spent.money > limits.money)
        ):
            return None
        self._held = (self._held if self.under_way else Spent()) + self._cost(*held)
        self.under_way += 1
        return held

    def settle(self, held: tuple[int, int], answer: dict[str, Any] | None) -> Spent:
        """Give back what was set aside, and say what to pay; None: the server did no work, which still is a request."""
        cost = Spent(requests=1) if answer is None else self._cost(*_usage(answer, held))
        self._give_back(held)
        if answer is None or self._accounts is None:
            self._lost += cost
        return cost

    def price(self, answer: dict[str, Any]) -> Spent:
        """What an answer took by its own count, 0 where it does not say."""
        return self._cost(*_usage(answer, (0, 0)))

    def lose(self, held: tuple[int, int]) -> None:
        """An attempt broke off: whether it is billed is not known."""
        self._give_back(held)
        self._lost += self._cost(*held)

    def __str__(self) -> str:
        limits = ", ".join(f"{k} = {v}" for k, v in self.limits.model_dump().items() if v)
        spent = self.spent
        return (
            f"{spent.requests} requests, {spent.tokens} tokens and {spent.money:.2f} of money spent; limits: {limits}"
        )

    def _give_back(self, held: tuple[int, int]) -> None:
        self.under_way -= 1
        self._held -= self._cost(*held)

    def _cost(self, prompt: int, answer: int) -> Spent:
        return Spent(1, prompt + answer, self.limits.cost(prompt=prompt, answer=answer))


def _texts(request: dict[str, Any]) -> list[str]:
    return [str(m["content"]) for m in request["messages"]] if "messages" in request else [request["prompt"]]


def prompt_bound(texts: Sequence[str]) -> int:
    """More tokens than a tokenizer makes of messages: one a byte, and what stands around them."""
    return sum(len(text.encode("utf-8", "surrogatepass")) + _MESSAGE_TOKENS for text in texts)


def prompt_estimate(texts: Sequence[str]) -> int:
    """Tokens that a tokenizer makes of messages, about."""
    return sum(len(text.encode("utf-8", "surrogatepass")) // BYTES_OF_A_TOKEN + _MESSAGE_TOKENS for text in texts)


def _usage(body: dict[str, Any], unknown: tuple[int, int]) -> tuple[int, int]:
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt, answer = token_count(usage.get("prompt_tokens")), token_count(usage.get("completion_tokens"))
    return (unknown[0] if prompt is None else prompt, unknown[1] if answer is None else answer)


def token_count(value: Any) -> int | None:
    """A number of tokens as a server writes it, 5 or 5.0; None for anything else."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 <= value < 2**53 and value == int(value) else None
