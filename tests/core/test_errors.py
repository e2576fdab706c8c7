import importlib.metadata
import pickle
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from afterbase.core.errors import (
    MODULES,
    Extra,
    UserError,
    UserErrors,
    Waiting,
    collect,
    missing_modules,
    refuse,
    refuse_missing_extra,
)

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


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


def test_modules_are_those_of_the_extras():
    assert {*MODULES} == {*EXTRAS} - {"dev"}


@pytest.mark.parametrize("extra", MODULES)
def test_modules_of_an_extra_come_with_its_packages(extra: Extra):
    mine = {Requirement(line).name for line in EXTRAS[extra]}
    theirs = {Requirement(line).name for name in mine for line in importlib.metadata.requires(name) or []}
    homes = importlib.metadata.packages_distributions()
    for module in MODULES[extra]:
        assert {home.lower() for home in homes[module]} & (mine | theirs), module


@pytest.mark.parametrize(("extra", "module"), [(extra, module) for extra in MODULES for module in MODULES[extra]])
def test_a_missing_extra_is_told_with_what_installs_it(extra: Extra, module: str, monkeypatch):
    refuse_missing_extra(extra, "here all are installed")
    monkeypatch.setitem(sys.modules, module, None)
    assert missing_modules(extra) == [module]
    with pytest.raises(UserError, match="needed for this") as raised:
        refuse_missing_extra(extra, "needed for this", otherwise="leave it out")
    assert raised.value.got == f"not installed: {module}"
    assert raised.value.remedy == f"pip install 'afterbase[{extra}]', or leave it out"
