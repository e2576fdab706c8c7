"""The concurrency of requests: what Retry-After asks, waits that double, a limit that grows slowly and halves once."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.rollout.endpoint.concurrency import Concurrency, backoff, retry_after

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("2.5", 2.5),
        ("-3", 0.0),
        ("soon", None),
        ("", None),
        ("inf", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after(header, NOW) == seconds


@given(attempt=st.integers(0, 40), seed=st.integers())
def test_waits_double_up_to_a_minute_and_are_half_chance(attempt, seed):
    wait = backoff(attempt, first=0.5, random=random.Random(seed))
    whole = min(60.0, 0.5 * 2**attempt)
    assert whole / 2 <= wait <= whole
    assert wait == backoff(attempt, first=0.5, random=random.Random(seed))


def test_the_limit_doubles_a_round_until_the_first_overload():
    concurrency = Concurrency(30)
    for expected in (8, 16, 30, 30):
        for _ in range(int(concurrency.limit)):
            concurrency.succeeded()
        assert concurrency.limit == expected


def test_after_an_overload_the_limit_grows_by_one_a_round_and_never_beyond_the_most():
    concurrency = Concurrency(6)
    concurrency.overloaded(0, retry_after=None)
    limits = [concurrency.limit]
    for _ in range(50):
        concurrency.succeeded()
        limits.append(concurrency.limit)
    assert limits[0] == 2
    assert 2.8 < limits[2] < 3.1
    assert limits == sorted(limits)
    assert limits[-1] == 6


def test_what_was_under_way_together_halves_the_limit_once():
    async def turns() -> list[float]:
        concurrency = Concurrency(4)
        async with concurrency.turn() as first, concurrency.turn() as second:
            concurrency.overloaded(first, retry_after=None)
            concurrency.overloaded(second, retry_after=None)
        limits = [concurrency.limit]
        async with concurrency.turn() as third:
            concurrency.overloaded(third, retry_after=None)
        limits.append(concurrency.limit)
        async with concurrency.turn() as fourth:
            concurrency.overloaded(fourth, retry_after=None)
        return [*limits, concurrency.limit]

    assert asyncio.run(turns()) == [2, 1, 1]


@given(most=st.integers(1, 6))
def test_no_more_run_at_once_than_the_limit(most):
    async def peak() -> int:
        concurrency, running, peaks = Concurrency(most), 0, []

        async def work() -> None:
            nonlocal running
            async with concurrency.turn():
                running += 1
                peaks.append(running)
                await asyncio.sleep(0)
                running -= 1

        await asyncio.gather(*(work() for _ in range(12)))
        return max(peaks)

    assert asyncio.run(peak()) == min(most, 4)
