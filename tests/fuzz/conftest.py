"""Fuzzing by the clock: hypothesis draws cases until a test's share of the time is over, each round under a seed."""

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

_CASES_A_ROUND = 10
_OPTIONS = settings(
    max_examples=_CASES_A_ROUND,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

ForAWhile = Callable[[Callable[[Any], None], SearchStrategy[Any]], None]


@pytest.fixture
def for_a_while(request: pytest.FixtureRequest) -> ForAWhile:
    """Run a check on drawn cases, for this test's share of AFTERBASE_FUZZ_SECONDS (60).

    AFTERBASE_FUZZ_SEED repeats a run; without it a seed is drawn, and told with a failure.
    """
    share = float(os.environ.get("AFTERBASE_FUZZ_SECONDS", "60")) / len(request.session.items)
    first = int(os.environ.get("AFTERBASE_FUZZ_SEED") or random.SystemRandom().randrange(1 << 32))

    def run(check: Callable[[Any], None], cases: SearchStrategy[Any]) -> None:
        end, rounds = time.monotonic() + share, 0

        def checked(case: Any) -> None:
            check(case)

        while rounds == 0 or time.monotonic() < end:
            try:
                seed(first + rounds)(_OPTIONS(given(cases)(checked)))()
            except BaseException as error:
                error.add_note(f"repeat with AFTERBASE_FUZZ_SEED={first + rounds}")
                raise
            rounds += 1

    return run
