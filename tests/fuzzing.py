"""Fuzzing by the clock: hypothesis draws cases until a target's seconds are over, each round under a seed of its own."""

import os
import random
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

_PHASES = [Phase.explicit, Phase.generate, Phase.shrink]
_CASES_A_ROUND = 25


def for_a_while(check: Callable[[Any], None], cases: SearchStrategy[Any]) -> int:
    """Run `check` on drawn cases for AFTERBASE_FUZZ_SECONDS (5) seconds; how many cases it was.

    AFTERBASE_FUZZ_SEED repeats a run; without it a seed is drawn and told with a failure.
    """
    end = time.monotonic() + float(os.environ.get("AFTERBASE_FUZZ_SECONDS", "5"))
    first = int(os.environ.get("AFTERBASE_FUZZ_SEED") or random.SystemRandom().randrange(1 << 32))
    tried = 0

    def counted(case: Any) -> None:
        nonlocal tried
        tried += 1
        check(case)

    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        options = settings(
            max_examples=_CASES_A_ROUND, deadline=None, database=None, phases=_PHASES,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        try:
            seed(first + rounds)(options(given(cases)(counted)))()
        except BaseException as error:
            error.add_note(f"repeat with AFTERBASE_FUZZ_SEED={first + rounds}")
            raise
        rounds += 1
    return tried
