"""Sizes of an environment's packages; and the page of dependencies names those of pyproject.toml."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("dependency_sizes", ROOT / "tools/dependency_sizes.py")
assert SPEC is not None
assert SPEC.loader is not None
sizes = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sizes)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs/dependencies.md").read_text()


def rows(title: str) -> list[list[str]]:
    """The cells of the page's table below a heading, without its head."""
    part = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in re.findall(r"^\|.*\|$", part, re.M)][2:]


def test_the_page_has_every_package_with_a_reason():
    listed = {row[0]: row[-1] for row in rows("Always installed") if not row[0].startswith("all ")}
    assert {*listed} == {Requirement(line).name for line in PROJECT["dependencies"]}
    assert [name for name, reason in listed.items() if not reason] == []


def test_the_page_has_every_extra_with_its_packages():
    listed = {row[0]: {name.strip(" `") for name in row[2].split(",")} for row in rows("Extras")}
    extras = {name: lines for name, lines in PROJECT["optional-dependencies"].items() if name != "dev"}
    assert listed == {name: {Requirement(line).name for line in lines} for name, lines in extras.items()}


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """An environment: afterbase needs `big`, which needs `shared`, and `small`, which needs it too; an extra."""

    def install(name: str, size: int, *requires: str) -> None:
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (tmp_path / f"{name}.py").write_bytes(b"#" * size)
        lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1", *(f"Requires-Dist: {r}" for r in requires)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        (folder / "RECORD").write_text(f"{name}.py,,\n")

    install("afterbase", 0, "big>=1", "small", 'more; extra == "wide"', 'absent; sys_platform == "nowhere"')
    install("big", 3_000_000, "shared", "mine")
    install("small", 500_000, "Shared")
    install("shared", 200_000)
    install("mine", 1_000_000)
    install("more", 400_000, "small")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    return tmp_path


def test_what_a_package_frees_is_what_nobody_else_needs(toys):
    assert sizes.table(None).splitlines()[2:] == [
        "| big | 3.0 | 4.0 |",
        "| small | 0.5 | 0.5 |",
        "| all 4 packages | 4.7 | |",
    ]


def test_an_extra_counts_what_it_adds(toys):
    assert sizes.table("wide").splitlines()[2:] == ["| more | 0.4 | 0.4 |", "| all 1 packages | 0.4 | |"]


def test_a_package_that_is_not_there_is_told(toys):
    (toys / "more-1.dist-info/METADATA").unlink()
    (toys / "more-1.dist-info/RECORD").unlink()
    (toys / "more-1.dist-info").rmdir()
    with pytest.raises(SystemExit, match="more is not installed here"):
        sizes.table("wide")
