import datetime
import decimal
import json
import uuid

import pytest

from afterbase.data.formats.json_values import as_json


def test_each_value_has_a_form_that_json_knows() -> None:
    day, identifier = datetime.date(2025, 1, 2), uuid.UUID(int=7)
    value = {
        1: [float("nan"), float("inf"), float("-inf"), 0.5],
        "b": b"ab",
        "t": (day, decimal.Decimal("1.10"), identifier),
    }
    assert json.loads(json.dumps(as_json(value), allow_nan=False)) == {
        "1": ["NaN", "+Infinity", "-Infinity", 0.5],
        "b": {"base64": "YWI="},
        "t": ["2025-01-02", "1.10", str(identifier)],
    }


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(ValueError, match="a set, which JSON does not know"):
        as_json([{1}])
