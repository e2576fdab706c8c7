import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.problems.prompt_hash import prompt_hash


@given(text=st.text())
def test_form_and_white_space_do_not_count(text):
    assert prompt_hash(f"  {text}\n") == prompt_hash(text)
    assert prompt_hash(unicodedata.normalize("NFD", text)) == prompt_hash(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(("one", "other", "same"), [("A  b", "a\nB", True), ("x²", "x2", False), ("ab", "a b", False)])
def test_what_is_equal(one, other, same):
    assert (prompt_hash(one) == prompt_hash(other)) is same
