import pytest

from afterbase.core.errors import UserError
from afterbase.data.domains import DOMAINS, REASONING
from afterbase.data.system_prompts import names, system_prompt


def test_every_shipped_prompt_is_one_paragraph_of_text():
    assert names() == ["reflect", "reflect_and_verify", "test_programs", "verify"]
    for name in names():
        assert "\n" not in system_prompt(name)


def test_the_shipped_domains_use_the_first_of_them():
    assert {DOMAINS[name].REFLECTIVE_SYSTEM_PROMPT for name in REASONING} == {system_prompt("reflect")}


def test_a_file_of_the_users_is_taken(tmp_path):
    (tmp_path / "mine.txt").write_text("Think\ntwice.\n")
    assert system_prompt(str(tmp_path / "mine.txt")) == "Think\ntwice."


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_what_is_no_prompt_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(UserError, match="a system prompt") as raised:
        system_prompt(str(tmp_path / "mine.txt"))
    assert "mine.txt" in raised.value.got
