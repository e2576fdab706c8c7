import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.data.prompts import prompt_hash, read_hashes


@given(text=st.text())
def test_form_and_white_space_do_not_count(text):
    assert prompt_hash(f"  {text}\n") == prompt_hash(text)
    assert prompt_hash(unicodedata.normalize("NFD", text)) == prompt_hash(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(("one", "other", "same"), [("A  b", "a\nB", True), ("x²", "x2", False), ("ab", "a b", False)])
def test_what_is_equal(one, other, same):
    assert (prompt_hash(one) == prompt_hash(other)) is same


def test_hashes_are_read_back(tmp_path):
    hashes = [prompt_hash(str(number)) for number in range(5)]
    (tmp_path / "b.txt").write_text("\n".join(hashes) + "\n")
    assert read_hashes(tmp_path / "b.txt") == set(hashes)


@pytest.mark.parametrize("content", [b"what is 1+1?\n", b"\xff", None])
def test_what_is_no_list_of_hashes_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "b.txt").write_bytes(content)
    with pytest.raises(UserError, match="a file of benchmark prompts") as raised:
        read_hashes(tmp_path / "b.txt")
    assert "b.txt" in raised.value.got
