"""The pages of the documentation: the files that they name exist, links lead somewhere, lines are short."""

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from afterbase.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")])
ROOTS = [ROOT, *(ROOT / folder for folder in ("src/afterbase", "tests", "benchmarks", "tools", "recipes"))]
BARE = {path.name for root in ROOTS[1:] for path in root.rglob("*") if "__pycache__" not in path.parts}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def files(text: str) -> list[str]:
    """What stands between backticks and looks like a file of the project's."""
    names = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|toml|txt|jinja))`", text)
    return [name for name in names if name not in THEIRS]


# A user's own file in an example, or one that a run writes; files of the projects that we learnt from.
THEIRS = {"rules.toml", "recipe.toml", "my_rewards.py", "math_equivalence.py", "lcb_runner/evaluation/testing_util.py"}


def missing(text: str, *nearby: Path) -> list[str]:
    """The names of files that are not there: by their path, from a folder `nearby`, or by their bare name anywhere."""
    roots = (*ROOTS, *nearby)
    return [name for name in files(text) if name not in BARE and not any((root / name).is_file() for root in roots)]


@pages
def test_files_that_a_page_names_exist(page: Path):
    assert missing(page.read_text()) == []


def test_files_that_docstrings_and_comments_name_exist():
    lost = {str(path): missing(path.read_text(), path.parent) for path in (ROOT / "src/afterbase").rglob("*.py")}
    assert {path: names for path, names in lost.items() if names} == {}


def test_a_file_that_does_not_exist_would_be_found():
    assert files("see `core/store.py` and `nowhere.py`, not prose.py") == ["core/store.py", "nowhere.py"]


@pages
def test_links_lead_to_files_and_headings(page: Path):
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text())
    lost = []
    for link in links:
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (heading and heading not in anchors(target.read_text())):
            lost.append(link)
    assert lost == []


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(text: str) -> list[str]:
    """The lines that are neither of a table nor of a block of code."""
    lines, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("|", "    ")):
            lines.append(line)
    return lines


@pages
def test_prose_has_lines_of_at_most_120_characters(page: Path):
    assert [line for line in prose(page.read_text()) if len(line) > 120] == []


def test_tables_and_code_are_no_prose():
    assert prose("one\n| a |\n```\ncode\n```\n    code\n\ntwo") == ["one", "", "two"]


def test_architecture_has_every_folder_of_the_package_and_every_file_beside_them():
    rooms = {row.split("|")[1] for row in (ROOT / "docs/architecture.md").read_text().splitlines() if row[:2] == "| "}
    named = set(re.findall(r"`([\w./]+)`", " ".join(rooms)))
    package = ROOT / "src/afterbase"
    there = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    there |= {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    assert there - named == set()


def test_architecture_has_the_layers_that_the_linter_holds():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [set(layer.split(" | ")) for layer in reversed(contract["layers"]) if layer != "__main__"]
    line = re.search(r"^    (core < .*)$", (ROOT / "docs/architecture.md").read_text(), flags=re.MULTILINE)
    assert line is not None
    assert [set(re.findall(r"\w+", layer)) for layer in line[1].split("<")] == layers


@pages
def test_imports_in_examples_work(page: Path):
    lines = re.findall(r"^ *from (afterbase[\w.]*) import ([\w, ]+)$", page.read_text(), flags=re.MULTILINE)
    lost = [
        f"{module}.{name}"
        for module, names in lines
        for name in names.split(", ")
        if not hasattr(importlib.import_module(module), name)
    ]
    assert lost == []


def commands(group: Any) -> dict[str, Any]:
    """The commands of the program by name, subcommands as `data clean`."""
    found = dict(group.commands)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= {f"{name} {inner}": deeper for inner, deeper in commands(command).items()}
    return found


COMMANDS = commands(typer.main.get_command(app))
OPTIONS = {option for command in COMMANDS.values() for part in command.params for option in part.opts}


@pages
def test_commands_that_a_page_names_exist(page: Path):
    named = set(re.findall(r"(?:`|^ {4}|-m )afterbase ([a-z][\w-]*)", page.read_text(), flags=re.MULTILINE))
    assert named - set(COMMANDS) == set()


@pages
def test_options_of_commands_that_a_page_shows_exist(page: Path):
    shown = re.findall(r"(?:`|^ {4}|-m )afterbase [a-z][^`\n]*", page.read_text(), flags=re.MULTILINE)
    named = {option for line in shown for option in re.findall(r"(?<![\w-])(--[a-z][\w-]*)", line)}
    assert named - OPTIONS == set()
