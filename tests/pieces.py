"""What worker processes do in tests: in a module of its own, which they can import."""

import pyarrow as pa

from afterbase.core.errors import UserError


def squares(number: int) -> pa.Table:
    """`number` rows, so that pieces differ in size."""
    return pa.table({"piece": [number] * number, "square": [number * number + i for i in range(number)]})


def refused(number: int) -> pa.Table:
    raise UserError("a rule", got=str(number), remedy="mend it")
