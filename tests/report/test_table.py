"""The terminal's table: every setting once, greedy beside sampled."""

from io import StringIO
from typing import Any

from rich.console import Console

from afterbase.report.summary import Summary
from afterbase.report.table import final_table, percent, problems, table_rows, tokens
from hostile import NAME, ON_ONE_LINE


def test_rows_pair_greedy_with_sampled(summary: Summary) -> None:
    rows = table_rows(summary["evaluations"])
    assert list(rows) == ["arithmetic", "code", "logic", "chat"]
    assert [row.label for row in rows["code"]] == [
        "base",
        "expert SFT + prompt",
        "expert SFT",
        "expert",
        "teacher only + prompt",
        "original only",
        "SFT",
        "GRPO",
    ]
    assert all(row.greedy and row.sampled and row.main is row.sampled for row in rows["code"])


def test_printed(summary: Summary) -> None:
    console = Console(width=120, record=True, file=StringIO())
    console.print(final_table(summary["evaluations"]))
    printed = console.export_text()
    final = next(e for e in reversed(summary["evaluations"]) if e["domain"] == "chat" and e["decoding"] == "sampled")
    interval = f"{percent(final['pass1'])} [{percent(final['pass1_low'])}–{percent(final['pass1_high'])}]"
    assert interval in printed
    assert "teacher only + prompt" in printed
    assert "chat, n = 60" in printed


def test_nothing_is_a_dash_and_not_a_zero() -> None:
    assert (percent(None), percent(0.0), tokens(None), tokens(12.6)) == ("–", "0.0", "–", "13")


def test_problems_are_counted_in_words() -> None:
    assert (problems(1), problems(0), problems(1200)) == ("1 problem", "0 problems", "1,200 problems")


def test_a_name_from_data_is_shown_as_it_is_written(summary: Summary) -> None:
    entries: Any = [{**entry, "domain": NAME, "checkpoint": NAME} for entry in summary["evaluations"][:1]]
    console = Console(width=200, record=True, file=StringIO())
    console.print(final_table(entries))
    assert console.export_text().count(ON_ONE_LINE) == 2
