"""What the serving engine takes and gives: a prompt to be answered, and the events of each of its samples."""

from collections.abc import Callable
from dataclasses import dataclass, field

from afterbase.rollout.engine import FinishReason, Sampling


@dataclass(frozen=True, kw_only=True)
class Token:
    """One sampled token; log-probabilities, its own and the most probable tokens', are under softmax(logits / T), T = 1
    when greedy."""

    id: int
    logp: float
    top_logprobs: tuple[tuple[int, float], ...]


Event = Token | FinishReason | Exception
"""A token; or the end, with its reason; or the end by an error, which no further event follows."""


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """`samples` answers to a prompt, with the `top_logprobs` most probable tokens at each place.

    `send` is called in the computing thread with a sample's index and its next event, and must not block. Between steps
    it is asked whether a sample is `cancelled`, as nobody reads it, and whether the reader is so far behind
    (`backlogged`) that it should get no more for now. Requests of one `group` have one turn together.
    """

    prompt: tuple[int, ...]
    samples: int
    sampling: Sampling
    top_logprobs: int
    send: Callable[[int, Event], None]
    cancelled: Callable[[int], bool]
    backlogged: Callable[[], bool] = lambda: False
    group: object = field(default_factory=object)
