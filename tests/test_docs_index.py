"""The index from the report to the code: each statement has a file that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/index.md").read_text()
ROWS = [
    row.strip("| ").split(" | ") for row in PAGE.splitlines() if row.startswith("| ") and "the report says" not in row
]


def paths(cell: str) -> list[Path]:
    """The files of a row's second cell."""
    names = re.findall(r"`([^`]+)`", cell)
    return [ROOT / name if name.startswith("recipes/") else ROOT / "src/afterbase" / name for name in names]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_a_statement_has_one_file_or_two_and_they_exist(row: list[str]):
    found = paths(row[1])
    assert 1 <= len(found) <= 2
    assert [str(path) for path in found if not path.is_file()] == []


def test_every_part_of_section_5_has_rows():
    parts = re.split(r"^#{2,3} (?:.*)$", PAGE, flags=re.MULTILINE)
    headings = re.findall(r"^#{2,3} (.*)$", PAGE, flags=re.MULTILINE)
    numbers = {heading.split()[0] for heading in headings}
    assert numbers >= {"5.1", "5.2", "5.2.1", "5.2.2", "5.3", "5.3.1", "5.3.2", "5.3.3", "5.3.4", "5.4"}
    assert all("| the report says |" in part for part in parts[1:] if part.strip())


def test_names_of_functions_and_settings_are_in_the_files_of_their_row():
    missing = []
    for row in ROWS:
        if len(row) < 3:
            continue
        text = "\n".join(path.read_text() for path in paths(row[1]))
        for name in re.findall(r"`([a-z]+_[a-z_]+|TOKENS)`", row[2]):
            if name not in text:
                missing.append((row[0], name))
    assert missing == []
