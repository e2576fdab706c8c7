import pickle

import pytest

from afterbase.core.errors import UserError


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


def test_an_error_comes_back_from_another_process_as_it_was():
    error = pickle.loads(pickle.dumps(UserError("a rule", got="this", remedy="mend it")))
    assert (error.rule, error.got, error.remedy) == ("a rule", "this", "mend it")
    assert str(error) == str(UserError("a rule", got="this", remedy="mend it"))
