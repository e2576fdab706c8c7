"""Values of Arrow and Python as JSON knows them."""

import base64
import datetime
import decimal
import math
import uuid
from typing import Any


def as_json(value: Any) -> Any:
    """Times and decimals as text, bytes as base64, what is no number by its name; ValueError for what has no form."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{value:+}"[:1] + "Infinity"
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case dict():
            return {str(key): as_json(part) for key, part in value.items()}
        case list() | tuple():
            return [as_json(part) for part in value]
        case datetime.date() | datetime.time():
            return value.isoformat()
        case decimal.Decimal() | datetime.timedelta() | uuid.UUID():
            return str(value)
    raise ValueError(f"a {type(value).__name__}, which JSON does not know")
