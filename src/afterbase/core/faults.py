"""pydantic's errors about a user's value, in our own words: one function for all places that report them."""

import re
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

_TEXT, _WHOLE, _NUMBER, _TRUTH = "must be a text", "must be a whole number", "must be a number", "must be true or false"
_LIST, _OBJECT = "must be a list", "must be an object"
_WORDS = {
    "missing": "must be given",
    "extra_forbidden": "is not known here",
    "string_type": _TEXT,
    "string_unicode": "must be a text in UTF-8",
    "string_sub_type": _TEXT,
    "is_instance_of": _TEXT,  # `InstanceOf[str]`, for texts that may hold half a surrogate pair
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "none_required": "must be null",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have a length of at least {min_length}",
    "too_long": "must have a length of at most {max_length}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "json_invalid": "must be JSON: {error}",
    "path_type": "must be the path of a file",
}
_LONGEST = 80
_PLACE = re.compile(r" at line \d+ column (\d+)")


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Where the first finding is, as `spec.tests.0` (empty for all of it), and what it says with what was got."""
    [detail, *_] = error.errors(include_url=False)
    return ".".join(map(str, detail["loc"])), fault(detail)


def fault(detail: ErrorDetails) -> str:
    """`must be a whole number, not "3"`."""
    said = rule(detail)
    known = detail["type"] in _WORDS and detail["type"] not in ("missing", "extra_forbidden", "json_invalid")
    return f"{said}, not {shown(detail['input'])}" if known else said


def rule(detail: ErrorDetails) -> str:
    """`must be a whole number`; what a validator of ours says is said as it says it."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if kind == "json_invalid":  # of a text that is one line of a file, whose number is told beside it
        context = {"error": _PLACE.sub(r" at character \1", context["error"])}
    if kind in _WORDS:
        return _WORDS[kind].format(**context)
    return f"has another form ({kind})" if kind in _OF_PYDANTIC else detail["msg"]


_OF_PYDANTIC = frozenset(get_args(ErrorType))


def shown(value: Any) -> str:
    """A value in a message: short, and at no cost however large it is."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value[:_LONGEST]}{"..." if len(value) > _LONGEST else ""}"'
        case int() if value.bit_length() > 256:
            return "a number of many digits"
        case int() | float():
            return str(value)
        case list() | tuple():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
    return f"a {type(value).__name__}"
