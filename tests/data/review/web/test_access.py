import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.review.web.access import cookie_name, form_word, token, who

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
    assert who(SECRET, "a", {"ada": 0, "ben": 0}, token(SECRET, "a", name)) == name
    assert who(SECRET, "a", {"cyd": 0}, token(SECRET, "a", name)) is None
    assert who(SECRET, "b", {"ada": 0, "ben": 0}, token(SECRET, "a", name)) is None


@given(st.text(max_size=40))
def test_nothing_else_does(given_word):
    assert who(SECRET, "a", {"ada": 0, "ben": 0}, given_word) is None


def test_a_withdrawn_token_names_nobody_and_the_next_one_does():
    tokens = [token(SECRET, "a", "ada", times) for times in range(3)]
    assert len(set(tokens)) == 3
    for times in range(3):
        found = [who(SECRET, "a", {"ada": times, "ben": 0}, given_word) for given_word in tokens]
        assert found == ["ada" if place == times else None for place in range(3)]
    assert token(SECRET, "a", "ada") == tokens[0], "links of before stay valid"
