import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterbase.core.sample import Sample, Status, Verdict, conversation, write_samples
from afterbase.data.clean.card import Tally, as_markdown, characters, summary
from afterbase.data.mixture import Drawn

OK = Verdict(verifier="maths", status=Status.OK, value=1.0, reason="match")


def sample(answer: str, *, domain: str = "maths", **fields) -> Sample:
    plain = {"kind": "curated", "problem_id": None, "producer": {"name": "expert"}}
    return Sample(messages=conversation("Q", answer), domain=domain, **{**plain, **fields})


SAMPLES = [
    sample("12345", verdicts=[OK], extra={"license": "MIT", "source": "toy | set\nof two"}),
    sample("123", domain="chat", kind="open", producer={"checkpoint": "x"}),
    sample("1").drop("filter", "too short", 2.0),
    sample("2").drop("filter", "too short", 1.0),
    sample("3", domain="code").drop("mix", "domain is full"),
]


@pytest.fixture
def table(tmp_path):
    write_samples(tmp_path / "samples.parquet", SAMPLES)
    return pq.read_table(tmp_path / "samples.parquet")


def test_the_card_counts_what_is_there(table):
    tally = Tally()
    tally.add(table)
    card = tally.card(name="toy", agreement={"alpha": 0.81}, mixture=[Drawn("maths", 4, 2, 0.5)])
    assert json.loads(json.dumps(card))["name"] == "toy"
    assert card["rows"] == {"kept": 2, "dropped": 3}
    lengths = {"p5": 6, "median": 6, "p95": 6, "most": 6}
    assert card["domains"]["maths"] == {"kept": 1, "dropped": 2, "characters": lengths}
    assert card["domains"]["code"] == {"kept": 0, "dropped": 1, "characters": None}
    assert card["kinds"] == {"curated": 1, "open": 1}
    assert card["licenses"] == {"MIT": 1, "unknown": 1}
    assert card["sources"] == {"toy | set\nof two": 1, "unknown": 1}
    assert card["producers"] == {"expert": 1, "unknown": 1}
    assert card["verdicts"] == {"maths": {"ok": 1}}
    assert card["drops"] == [
        {"stage": "filter", "rule": "too short", "rows": 2, "scores": (1.0, 2.0)},
        {"stage": "mix", "rule": "domain is full", "rows": 1, "scores": None},
    ]


def test_tables_add_up(table):
    whole, parts = Tally(), Tally()
    whole.add(table)
    for i in range(5):
        parts.add(table.slice(i, 1))
    assert parts.card() == whole.card()
    assert Tally().card()["rows"] == {"kept": 0, "dropped": 0}


def test_markdown_holds_the_numbers_and_no_name_breaks_a_table(table):
    tally = Tally()
    tally.add(table)
    mixture = [Drawn("maths", 4, 2, 0.5)]
    text = as_markdown(tally.card(name="toy", agreement={"alpha": 0.81}), mixture)
    for line in (
        "# toy",
        "2 rows kept, 3 dropped.",
        "| maths | 1 | 2 | 6 | 6 | 6 | 6 |",
        "| code | 0 | 1 |  |  |  |  |",
        "| filter | too short | 2 | 1 to 2 |",
        "| maths | 4 | 2 | 0.50 | 100.0% | 50.0% |",
        "- alpha: 0.810",
        "- maths: ok 1",
    ):
        assert line in text.splitlines()
    assert "toy \\| set of two 1" in text


def test_the_summary_names_the_rules_that_took_most(table):
    tally = Tally()
    tally.add(table)
    assert summary(tally.card()).splitlines() == [
        "2 rows kept, 3 dropped",
        "          2  filter: too short",
        "          1  mix: domain is full",
    ]


def test_characters_are_those_of_all_turns(table):
    assert characters(table).tolist() == [6, 4, 2, 2, 2]
    assert characters(table.slice(1, 2)).tolist() == [4, 2]
    assert characters(pa.concat_tables([table, table]).slice(4, 3)).tolist() == [2, 6, 4]
