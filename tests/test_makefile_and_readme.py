"""What the README and the build files promise one another."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
PINS = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
EXTRAS = PROJECT["optional-dependencies"]
LISTED = [Requirement(r) for r in [*PROJECT["dependencies"], *(r for extra in EXTRAS.values() for r in extra)]]
REQUIREMENTS = [requirement for requirement in LISTED if requirement.name != PROJECT["name"]]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_make_commands_in_the_docs_exist(page: str):
    named = set(re.findall(r"^    make ([a-z-]+)", (ROOT / page).read_text(), flags=re.MULTILINE))
    assert named & {"setup", "setup-dev"}
    assert named <= TARGETS


def test_makefile_help_lists_every_target():
    listed = set(re.findall(r'"make ([a-z-]+)', MAKEFILE))
    assert listed == TARGETS - {"help"}


def test_every_target_that_needs_the_environment_sets_it_up():
    needing = set(re.findall(r"^([a-z-]+): setup(?:-dev)?$", MAKEFILE, flags=re.MULTILINE))
    assert needing == TARGETS - {"help", "setup", "setup-dev"}


def test_who_only_runs_recipes_is_spared_the_tools_of_developers():
    lean = set(re.findall(r"^([a-z-]+): setup$", MAKEFILE, flags=re.MULTILINE))
    assert lean == {"quickstart", "smoke", "wheel"}
    assert MAKEFILE.count("'.[dev]'") == 1


def test_developers_have_every_extra():
    (whole,) = (requirement for requirement in LISTED if requirement.name == PROJECT["name"])
    assert whole.extras == {*EXTRAS} - {"dev"}


@pytest.mark.parametrize("variable", re.findall(r"make setup ([A-Z_]+)=", README))
def test_makefile_reads_the_variables_of_the_readme(variable: str):
    assert f"$({variable})" in MAKEFILE


def test_readme_names_the_torch_that_was_tested():
    assert re.findall(r"torch==([\d.]+)", README) == [PINS["torch"]]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_every_direct_dependency_is_pinned_within_its_range(requirement: Requirement):
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_nothing_else_is_pinned():
    assert {canonicalize_name(n) for n in PINS} == {canonicalize_name(r.name) for r in REQUIREMENTS}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_to_files_lead_somewhere(page: str):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_version_is_told_once():
    assert f'__version__ = "{PROJECT["version"]}"' in (ROOT / "src/afterbase/__init__.py").read_text()
