import json
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Sample, read_samples
from afterbase.core.store import Store
from afterbase.data.generate.open_answers import draft_open, open_samples
from afterbase.data.generate.open_tables import OpenColumns, OpenDomain, check_drafts_of
from afterbase.data.problems.sources import make_source
from afterbase.rollout.chat_model import Reply

PROBLEM = Problem(domain="cards", prompt="A card?", gold=None, verifier="none", spec={"row": {}})
REWARD = "def score(*, answer, row):\n    return row['draft'] != 'wrong'\n"


def table(folder: Path, drafts: list[str | int | None], **settings) -> OpenDomain:
    path = folder / "cards.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Card {n}?", "draft": d}) + "\n" for n, d in enumerate(drafts)))
    return OpenDomain(path=str(path), columns=OpenColumns(response="draft"), **settings)


def drafted(folder: Path, config: OpenDomain) -> list[Sample]:
    store = Store(folder / "store")
    problems = make_source(store, "cards", config.source, seed=0)
    return read_samples(draft_open(store, "cards", problems, config, seed=0).payload / "samples.parquet")


def test_drafts_of_a_column_are_samples_of_their_prompts(tmp_path):
    samples = drafted(tmp_path, table(tmp_path, ["one", "two", "", None]))
    kept = {(s.messages[0]["content"], s.response) for s in samples if s.dropped is None}
    assert kept == {("Card 0?", "one"), ("Card 1?", "two")}
    assert [s.dropped.rule for s in samples if s.dropped] == ["empty", "empty"]
    assert all(s.problem_id is not None and s.kind == "open" for s in samples)


@pytest.mark.parametrize("check", [False, True])
def test_the_own_function_checks_drafts_where_it_is_asked_to(tmp_path, check):
    (tmp_path / "r.py").write_text(REWARD)
    config = table(tmp_path, ["right", "wrong"], reward=f"{tmp_path / 'r.py'}:score", check_drafts=check)
    samples = drafted(tmp_path, config)
    assert {s.response for s in samples if s.dropped is None} == ({"right"} if check else {"right", "wrong"})
    assert all(len(s.verdicts) == 1 for s in samples)


def test_drafts_that_are_all_of_no_use_are_told(tmp_path):
    with pytest.raises(UserError, match="have to be of use") as raised:
        drafted(tmp_path, table(tmp_path, ["", " "]))
    assert "empty (2)" in raised.value.got


def test_what_was_cut_off_is_dropped_and_several_drafts_are_told_apart():
    group = [Reply(text="Fine.", tokens=1), Reply(text="Not fin", tokens=2, finish="length")]
    fine, cut = open_samples([PROBLEM], [group], {"name": "toy"}, check=False)
    assert fine.dropped is None
    assert cut.dropped is not None
    assert cut.dropped.rule == "truncated"
    assert (fine.producer["sample_index"], cut.producer["sample_index"]) == (0, 1)


def test_a_draft_that_is_no_text_is_told_with_its_row(tmp_path):
    with pytest.raises(UserError, match="are texts") as raised:
        check_drafts_of("cards", table(tmp_path, ["one", 2]), None)
    assert "line 2" in raised.value.got


def test_without_a_teacher_and_a_column_there_are_no_drafts(tmp_path):
    config = table(tmp_path, ["one"]).model_copy(update={"columns": OpenColumns()})
    with pytest.raises(UserError, match="from a teacher, or from a column"):
        config.draft_column(None)
