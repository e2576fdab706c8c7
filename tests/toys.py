"""Toy data that several tests learn from."""

import random

from afterbase.core.sample import Sample, conversation


def toy_samples(count: int) -> list[Sample]:
    rng = random.Random(0)
    pairs = [(rng.randrange(10), rng.randrange(10)) for _ in range(count)]
    return [
        Sample(
            messages=conversation(f"{a}+{b}?", f"It is {a + b}." * rng.randint(1, 2)),
            domain="arithmetic",
            kind="original",
            problem_id=None,
            producer={"name": "toy"},
        )
        for a, b in pairs
    ]
