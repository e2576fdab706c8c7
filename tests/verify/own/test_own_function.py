"""What a reward's name stands for, and what its digest is of."""

import functools
import os
import threading
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.verify.own.own_function import find, is_own, of_problem

SCORE = "from helper import most\ndef score(response):\n    return len(response) < most\nasync def other(): ...\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("most = 3\n")
    (tmp_path / "my_rewards.py").write_text(SCORE)
    return tmp_path / "my_rewards.py"


def test_names_of_functions_are_told_from_names_of_verifiers():
    assert is_own("a.py:f")
    assert is_own("package.module:f")
    assert is_own("a.py")
    assert not is_own("maths")


def test_a_function_is_found_by_file_and_by_module(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    by_file, by_module = find("my_rewards.py:score"), find("my_rewards:score")
    assert by_file.digest == by_module.digest
    assert (by_file.shown, by_module.shown) == ("my_rewards.py:score", "my_rewards:score")
    assert find(by_file.reference) == by_file


def test_the_digest_follows_the_source_and_what_it_imports_and_not_the_folder(file, tmp_path):
    before = find(f"{file}:score").digest
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("helper.py", "my_rewards.py"):
        (elsewhere / name).write_text((tmp_path / name).read_text())
    assert find(f"{elsewhere}/my_rewards.py:score").digest == before
    (tmp_path / "helper.py").write_text("most = 4\n")
    after = find(f"{file}:score").digest
    assert after != before
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    assert find(f"{file}:score").digest == after


def test_local_packages_count_too(tmp_path):
    package = tmp_path / "parts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("from . import deepest\n")
    (package / "deepest.py").write_text("x = 1\n")
    (tmp_path / "r.py").write_text("from parts.inner import deepest\ndef score(response): return deepest.x\n")
    before = find(f"{tmp_path}/r.py:score").digest
    (package / "deepest.py").write_text("x = 2\n")
    assert find(f"{tmp_path}/r.py:score").digest != before


@pytest.mark.parametrize(
    ("reference", "got", "remedy"),
    [
        ("nowhere.py:score", "there is no file `nowhere.py`", "correct the file"),
        ("no_such_module:score", "there is no module `no_such_module`", "correct the module"),
        ("my_rewards.py:scor", "`my_rewards.py:scor`", "`score`, `other`"),
        ("my_rewards.py", "without a function", "`score`, `other`"),
        ("my_rewards.py:", "without a function", "`score`, `other`"),
        ("helper.py:score", "`helper.py:score`", "no function"),
        ("broken.py:score", "line 1", "correct the file"),
    ],
)
def test_what_is_no_function_is_refused_with_what_there_is(file, monkeypatch, reference, got, remedy):
    monkeypatch.chdir(file.parent)
    Path("broken.py").write_text("def score(:\n")
    with pytest.raises(UserError) as raised:
        find(reference)
    assert got in raised.value.got
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    "source",
    [
        "score = print\n",
        "from math import sqrt as score\n",
        "from helper import *\n",
        "if True:\n    def score(response): ...\n",
        "class score:\n    def __init__(self, response): ...\n",
    ],
)
def test_a_name_may_be_bound_in_any_way(file, source):
    file.write_text(source)
    assert find(f"{file}:score").name == "score"


def test_a_callable_is_identified_by_its_source():
    def twice(response):
        return 2 * len(response)

    found = find(twice)
    assert find(found.reference) == found
    assert found.digest != find(lambda response: 0.0).digest
    typed = {}
    exec("def f(response): return 1", typed)
    exec("def g(response): return 2", typed)
    assert find(typed["f"]).digest != find(typed["g"]).digest
    with pytest.raises(UserError, match="in the process that has it"):
        find("callable:gone@0")


def test_a_callable_is_identified_by_what_it_is_bound_to_as_well():
    def longer_than(most, unit=1):
        return lambda response: len(response) > most * unit

    class Longer:
        def __init__(self, most):
            self.most = most

        def __call__(self, response):
            return len(response) > self.most

        def score(self, response):
            return self(response)

    def kinds(most):
        return [longer_than(most), functools.partial(max, most), Longer(most), Longer(most).score]

    digests = [[find(call).digest for call in kinds(most)] for most in (1, 1, 2)]
    assert digests[0] == digests[1]
    assert len({*digests[0], *digests[2]}) == 8
    assert find(longer_than(threading.Lock())).digest  # what cannot be pickled


def test_a_problem_finds_its_function_by_digest_and_refuses_another(file, tmp_path, monkeypatch):
    monkeypatch.chdir(os.sep)
    found = find(f"{file}:score")
    assert of_problem({"function": "my_rewards.py:score", "digest": found.digest}) == found
    monkeypatch.chdir(file.parent)
    assert of_problem({"function": "my_rewards.py:score"}) == found
    with pytest.raises(UserError, match="that they were made for"):
        of_problem({"function": "my_rewards.py:score", "digest": "0" * 64})
