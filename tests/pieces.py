"""What worker processes do in tests: in a module of its own, which they can import."""

import os
import time
from pathlib import Path

import pyarrow as pa

from afterbase.core.errors import UserError


def squares(number: int) -> pa.Table:
    """`number` rows, so that pieces differ in size."""
    return pa.table({"piece": [number] * number, "square": [number * number + i for i in range(number)]})


def refused(number: int) -> pa.Table:
    raise UserError("a rule", got=str(number), remedy="mend it")


def sleepy(folder: str) -> pa.Table:
    """Says which process it is, and takes its time."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)
    return squares(1)
