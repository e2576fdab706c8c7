"""Problems that are kept for tests: a fixed share of each domain, chosen by the hash of a problem's identity.

Nothing that a model learns from may hold them: neither the training split of a recipe, nor the text of the shipped
base. A hash, unlike a list, needs no agreement between the two.
"""

import hashlib
import random
from collections.abc import Callable

from afterbase.core.sample import Problem

_SHARE = 0.2


def for_tests(identity: str) -> bool:
    """Whether the problem with this identity is one of those kept for tests."""
    digest = hashlib.sha256(identity.encode()).digest()
    return int.from_bytes(digest[:4]) < _SHARE * 2**32


def training_problem(
    draw: Callable[[random.Random], Problem], identity: Callable[[Problem], str], rng: random.Random
) -> Problem:
    """The next drawn problem that is not kept for tests."""
    while for_tests(identity(problem := draw(rng))):
        pass
    return problem
