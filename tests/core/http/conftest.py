"""The toy application behind the guard, over a real socket."""

from collections.abc import Iterator

import pytest

from guarded_toy import Toy, guarded
from loopback import served


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def url(toy: Toy) -> Iterator[str]:
    with served(guarded(toy)) as base:
        yield base
