import pickle

import pytest

from afterbase.core.errors import UserError, UserErrors, Waiting, collect, refuse


def test_message_gives_rule_got_and_remedy_in_that_order():
    error = UserError("`epochs` must be positive", got="0", remedy="set it to 1 or more")
    lines = str(error).splitlines()
    assert lines == ["`epochs` must be positive", "  got:    0", "  remedy: set it to 1 or more"]
    assert (error.rule, error.got, error.remedy) == ("`epochs` must be positive", "0", "set it to 1 or more")


def test_is_a_value_error_so_that_a_validator_may_raise_it():
    with pytest.raises(ValueError, match="rule"):
        raise UserError("rule", got="got", remedy="remedy")


def test_got_and_remedy_cannot_be_swapped_by_position():
    with pytest.raises(TypeError):
        UserError("rule", "got", "remedy")  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("kind", [UserError, Waiting])
def test_comes_back_from_another_process_as_what_it_was(kind):
    back = pickle.loads(pickle.dumps(kind("rule", got="got", remedy="remedy")))
    assert type(back) is kind
    assert (back.rule, back.got, back.remedy) == ("rule", "got", "remedy")


def _errors(*rules: str) -> list[UserError]:
    return [UserError(rule, got=f"got of {rule}", remedy=f"remedy of {rule}") for rule in rules]


def test_several_are_numbered_and_one_keeps_its_form():
    with pytest.raises(UserError) as caught:
        refuse(_errors("a"))
    assert type(caught.value) is UserError
    with pytest.raises(UserErrors) as several:
        refuse(_errors("a", "b", "a"))  # a finding twice is told once
    assert str(several.value).splitlines() == [
        "2 mistakes, each with its remedy",
        "1. a",
        "  got:    got of a",
        "  remedy: remedy of a",
        "2. b",
        "  got:    got of b",
        "  remedy: remedy of b",
    ]
    assert several.value.rule == "a"
    refuse([])


def test_several_come_back_from_another_process():
    back = pickle.loads(pickle.dumps(UserErrors(_errors("a", "b"))))
    assert type(back) is UserErrors
    assert [error.rule for error in back.errors] == ["a", "b"]


def test_what_is_collected_is_single_and_waiting_is_no_mistake():
    found: list[UserError] = []
    with collect(found):
        raise UserErrors(_errors("a", "b"))
    with collect(found):
        refuse(_errors("c"))
    assert [error.rule for error in found] == ["a", "b", "c"]
    with pytest.raises(Waiting), collect(found):
        raise Waiting("people first", got="none", remedy="review")
