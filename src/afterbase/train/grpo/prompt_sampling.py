"""Which prompts a rollout is of: a seeded shuffle an epoch, or a draw that prefers what is neither easy nor hopeless.

The state is one integer, and of the draw the solve rates seen so far; both stand in the stage's notes.
"""

import random
from collections.abc import Mapping, Sequence

from afterbase.core.sample import Problem

_FLOOR = 0.1  # of a weight: what was solved always, or never, comes back now and then


def shuffled(problems: Sequence[Problem], cursor: int, count: int, seed: int) -> list[Problem]:
    """`count` problems from position `cursor` on, of all problems in a new order each epoch."""
    order: list[int] = []
    out = []
    for position in range(cursor, cursor + count):
        epoch, at = divmod(position, len(problems))
        if at == 0 or not order:
            order = list(range(len(problems)))
            random.Random(f"{seed}/{epoch}").shuffle(order)
        out.append(problems[order[at]])
    return out


def middling(
    problems: Sequence[Problem], cursor: int, count: int, seed: int, solve_rates: Mapping[str, float]
) -> list[Problem]:
    """`count` problems, distinct while there are enough, drawn with weight 0.1 + 4 p (1 - p).

    p is the solve rate at the problem's last appearance, 1/2 before its first. Efraimidis and Spirakis, "Weighted
    random sampling with a reservoir", 2006: the largest u^(1/w) win.
    """
    rng = random.Random(f"{seed}/{cursor}")
    rates = [solve_rates.get(problem.id, 0.5) for problem in problems]
    keys = [rng.random() ** (1 / (_FLOOR + 4 * p * (1 - p))) for p in rates]
    best = sorted(range(len(problems)), key=lambda i: -keys[i])
    return [problems[best[i % len(best)]] for i in range(count)]
