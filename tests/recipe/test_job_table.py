"""What is said of a job becomes one table, and the table a recipe file that says the same."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.recipe import SftRecipe
from afterbase.recipe.job_table import as_toml, merged, nested, parse_settings

VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(table=st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=5))
def test_a_written_table_is_read_back_as_it_was(table):
    assert tomllib.loads(as_toml(table, head="one\ntwo")) == table


@given(text=st.text(max_size=20))
def test_any_text_is_a_value(text):
    assert set(parse_settings([f"key={text}"])) == {"key"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-5", 1e-5),
        ("true", True),
        ("split", "split"),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ("a = b", "a = b"),
        ("", ""),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_a_value_is_tomls_or_a_text(text, value):
    assert parse_settings([f"key={text}"]) == {"key": value}


@pytest.mark.parametrize("text", ["epochs", "=3", " = 3"])
def test_what_is_no_setting_is_refused(text):
    with pytest.raises(UserError, match="key=value"):
        parse_settings([text])


def test_keys_find_their_place():
    said = {"epochs": 1, "sft.row_tokens": 64, "betas": [0.9, 0.99], "threads": 2, "data.trained": "last"}
    assert nested(said, SftRecipe, "sft") == {
        "sft": {"epochs": 1, "row_tokens": 64, "optimisation": {"betas": [0.9, 0.99]}},
        "threads": 2,
        "data": {"trained": "last"},
    }


def test_tables_and_dotted_keys_of_one_table_meet():
    assert nested({"sft": {"epochs": 1}, "sft.row_tokens": 64}, SftRecipe, "sft")["sft"] == {
        "epochs": 1, "row_tokens": 64,
    }  # fmt: skip


def test_a_key_below_a_value_is_refused():
    with pytest.raises(UserError, match="names a table or a value"):
        nested({"sft.epochs": 1, "sft.epochs.first": 2}, SftRecipe, "sft")


@given(table=st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_merging_nothing_changes_nothing(table):
    assert merged(table, {}) == table == merged({}, table) == merged(table, table)
