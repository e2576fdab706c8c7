"""What is wrong with a value, in our words, with what was got."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from afterbase.core.faults import first_fault


class Row(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    text: Annotated[str, StringConstraints(min_length=2, max_length=4, pattern="^a")] = "aa"
    count: Annotated[int, Field(ge=1, lt=9)] = 1
    share: float = 0.5
    sure: bool = True
    kind: Literal["one", "two"] = "one"
    items: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    table: dict[str, Any] = {}

    @field_validator("count")
    @classmethod
    def _even(cls, count: int) -> int:
        if count == 3:
            raise ValueError("three is taken")
        if count == 5:
            raise PydanticCustomError("too_odd", "{count} is odd", {"count": count})
        return count


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"text": 5}, ("text", "must be a text, not 5")),
        ({"text": "a"}, ("text", 'must have at least 2 characters, not "a"')),
        ({"text": "b" * 90}, ("text", f'must have at most 4 characters, not "{"b" * 80}..."')),
        ({"text": "bb"}, ("text", 'must match ^a, not "bb"')),
        ({"count": "1"}, ("count", 'must be a whole number, not "1"')),
        ({"count": 0}, ("count", "must be 1 or more, not 0")),
        ({"count": 9}, ("count", "must be below 9, not 9")),
        ({"count": 10**5000}, ("count", "must be below 9, not a number of many digits")),
        ({"count": 3}, ("count", "three is taken")),
        ({"count": 5}, ("count", "5 is odd")),
        ({"share": None}, ("share", "must be a number, not null")),
        ({"share": float("inf")}, ("share", "must be a finite number, not inf")),
        ({"sure": 1}, ("sure", "must be true or false, not 1")),
        ({"kind": True}, ("kind", "must be 'one' or 'two', not true")),
        ({"items": {}}, ("items", "must be a list, not an object")),
        ({"items": []}, ("items", "must have a length of at least 1, not a list of 0")),
        ({"items": [1, "x"]}, ("items.1", 'must be a whole number, not "x"')),
        ({"table": [1]}, ("table", "must be an object, not a list of 1")),
        ({"other": 1}, ("other", "is not known here")),
        ([], ("", "must be an object, not a list of 0")),
    ],
)
def test_each_fault_is_told_in_our_words(values, told):
    with pytest.raises(ValidationError) as error:
        Row.model_validate(values)
    assert first_fault(error.value) == told


def test_what_is_no_json_and_what_is_missing_is_told():
    class Named(BaseModel):
        name: str

    for text, told in (
        ("{}", ("name", "must be given")),
        ('{"name', ("", "must be JSON: EOF while parsing a string at character 6")),
    ):
        with pytest.raises(ValidationError) as error:
            Named.model_validate_json(text)
        assert first_fault(error.value) == told
