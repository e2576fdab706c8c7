import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.review.access import cookie_name, form_word, token, who

SECRET = b"s" * 32


def test_tokens_are_stable_and_each_ones_own():
    words = [token(SECRET, run, name) for run in ("a", "b") for name in ("ada", "ben")]
    words += [form_word(SECRET, "a", "ada"), token(b"t" * 32, "a", "ada")]
    assert len(set(words)) == len(words)
    assert words[0] == token(SECRET, "a", "ada")
    assert all(len(word) == 32 for word in words)
    assert cookie_name(SECRET, "a") != cookie_name(SECRET, "b")


@pytest.mark.parametrize("name", ["ada", "ben"])
def test_a_token_names_its_reviewer(name):
    assert who(SECRET, "a", ["ada", "ben"], token(SECRET, "a", name)) == name
    assert who(SECRET, "a", ["cyd"], token(SECRET, "a", name)) is None
    assert who(SECRET, "b", ["ada", "ben"], token(SECRET, "a", name)) is None


@given(st.text(max_size=40))
def test_nothing_else_does(given_word):
    assert who(SECRET, "a", ["ada", "ben"], given_word) is None
