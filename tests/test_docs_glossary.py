"""The glossary: in order, each word once, and each name is one of the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINES = (ROOT / "docs/glossary.md").read_text().splitlines()
ROWS = [re.split(r" (?<!\\)[|] ", line[2:-2]) for line in LINES if line.startswith("| ")][1:]


def test_every_row_has_a_term_a_symbol_two_words_and_a_meaning():
    assert [row[0] for row in ROWS if len(row) != 5 or not all(cell.strip() for cell in row)] == []


def test_terms_are_in_alphabetical_order_and_each_once():
    terms = [row[0].lower() for row in ROWS]
    assert terms == sorted(set(terms))


def test_chinese_words_are_chinese_and_each_has_one_term():
    words = [row[3] for row in ROWS]
    assert [word for word in words if not re.search(r"[\u4e00-\u9fff]", word)] == []
    assert len(words) == len(set(words))


def test_names_in_code_are_names_of_the_code():
    files = (ROOT / "src/afterbase").rglob("*.py")
    words = set(re.findall(r"\w+", "\n".join(f"{path.stem} {path.read_text()}" for path in files)))
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[1])}
    assert named - words == set()
