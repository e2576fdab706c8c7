"""What requests to an endpoint cost, by the recipe's own prices, and the most that a run may spend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from afterbase.core.config import Config

_MILLION = 1e6
_BYTES = 4  # of English text in a token, about
_PER_MESSAGE = 16  # tokens: what a chat template puts around a message, generously


class Price(Config):
    """Money for a million tokens, in `currency`; of a provider's page, as they change and differ."""

    prompt: Annotated[float, Ge(0)]
    completion: Annotated[float, Ge(0)]
    currency: str = "USD"

    def of(self, *, prompt: int, completion: int) -> float:
        """Money for so many tokens."""
        return (prompt * self.prompt + completion * self.completion) / _MILLION


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The purse that answers are paid from, and what may be in it: `most` money in all, None for any.

    A purse belongs to a recipe, not to a process: what was spent before a kill is in it.
    """

    purse: str
    price: Price
    most: float | None = None


def prompt_bound(messages: Sequence[dict[str, str]]) -> int:
    """More tokens than a tokenizer makes of the messages: one a byte, and what stands around them."""
    return sum(len(message["content"].encode()) + _PER_MESSAGE for message in messages)


def prompt_estimate(messages: Sequence[dict[str, str]]) -> int:
    """Tokens that a tokenizer makes of the messages, about."""
    return sum(len(message["content"].encode()) // _BYTES + _PER_MESSAGE for message in messages)
