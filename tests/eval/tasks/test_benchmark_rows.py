"""Rows from files and from the hub, and what is said where they are not to be had."""

import sys

import pytest
from pydantic import BaseModel

from afterbase.core.errors import UserError
from afterbase.eval.tasks.benchmark_rows import Folder, Source


class Row(BaseModel):
    question: str


HUB = Source(file="toy.jsonl", hub="somebody/toy", config="main", split="test")
ELSEWHERE = Source(file="toy.jsonl", otherwise="ask its authors")


def test_rows_of_a_file_plain_or_gzip(tmp_path):
    (tmp_path / "toy.jsonl").write_text('{"question": "?"}\n')
    assert Folder(tmp_path).missing(HUB) is None
    assert [row.question for row in Folder(tmp_path).rows(HUB, Row)] == ["?"]


def test_missing_file_is_told_with_where_it_comes_from(tmp_path):
    assert "split `test` of somebody/toy on the hub, configuration main" in str(Folder(tmp_path).missing(HUB))
    assert "ask its authors" in str(Folder(tmp_path).missing(ELSEWHERE))
    with pytest.raises(UserError, match=r"without toy\.jsonl"):
        Folder(tmp_path).rows(HUB, Row)


def test_without_a_folder_what_is_not_on_the_hub_is_missing():
    assert Folder(None).missing(HUB) is None
    assert "--data DIR with toy.jsonl: ask its authors" in str(Folder(None).missing(ELSEWHERE))


def test_hub_without_its_package_or_network_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError) as raised:
        Folder(None).rows(HUB, Row)
    assert "pip install 'afterbase[datasets]', or --data DIR with toy.jsonl" in raised.value.remedy
    assert "`datasets` (pip install 'afterbase[datasets]')" in str(Folder(None).missing(HUB)), "told before it begins"
