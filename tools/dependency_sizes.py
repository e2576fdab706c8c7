"""How much disk each dependency of afterbase takes, in the environment that runs this: a table in Markdown.

    python tools/dependency_sizes.py          the packages that are always installed
    python tools/dependency_sizes.py EXTRA    those of an extra

`own` is what a package's files take, compiled ones included. `frees` is what an environment without the package would
not have: also the packages that nothing else needs. Sizes are sums of files in MB (10^6 bytes); a disk rounds each up.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution

from packaging.requirements import Requirement

Packages = dict[str, Distribution]
_MB = 1e6


def name_of(text: str) -> str:
    """A package's name in its one spelling.

    >>> name_of("Reasoning_Gym")
    'reasoning-gym'
    """
    return re.sub(r"[-_.]+", "-", text).lower()


def installed() -> Packages:
    """Every package of this environment by its name."""
    return {name_of(package.metadata["Name"]): package for package in importlib.metadata.distributions()}


def needed_by(package: Distribution, extras: Iterable[str] = ()) -> list[Requirement]:
    """What a package asks for here, with these of its extras."""
    asked = [Requirement(line) for line in package.requires or []]
    return [one for one in asked if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *extras))]


def with_theirs(requirements: Iterable[Requirement], packages: Packages) -> set[str]:
    """The names of what is asked for and of all that it needs in turn; what is not installed is left out."""
    found: set[str] = set()
    todo = list(requirements)
    done: set[tuple[str, frozenset[str]]] = set()
    while todo:
        asked = todo.pop()
        key = name_of(asked.name), frozenset(asked.extras)
        if key in done or key[0] not in packages:
            continue
        done.add(key)
        found.add(key[0])
        todo += needed_by(packages[key[0]], asked.extras)
    return found


def size(package: Distribution) -> int:
    """Bytes of the package's files."""
    paths = [package.locate_file(file) for file in package.files or []]
    return sum(path.stat().st_size for path in paths if path.is_file())  # type: ignore[attr-defined]


def table(extra: str | None) -> str:
    """One row for each direct dependency, the largest first, and their sum."""
    packages = installed()
    always = needed_by(packages["afterbase"])
    wanted = [one for one in needed_by(packages["afterbase"], [extra]) if one not in always] if extra else always
    there = set() if extra is None else with_theirs(always, packages)
    sizes = {name: size(packages[name]) for name in with_theirs([*always, *wanted], packages)}

    def megabytes(names: Iterable[str]) -> str:
        return f"{sum(sizes[name] for name in names) / _MB:,.1f}"

    whole = with_theirs(wanted, packages) - there
    rows = []
    for one in wanted:
        own = name_of(one.name)
        if own not in packages:
            sys.exit(f"{own} is not installed here")
        others = [other for other in wanted if other is not one]
        rows.append((sizes[own], own, megabytes([own]), megabytes(whole - with_theirs(others, packages))))
    lines = [f"| {name} | {own} | {frees} |" for _, name, own, frees in sorted(rows, reverse=True)]
    head = ["| package | own, MB | frees, MB |", "|---|---|---|"]
    return "\n".join([*head, *lines, f"| all {len(whole)} packages | {megabytes(whole)} | |"])


if __name__ == "__main__":
    print(table(sys.argv[1] if len(sys.argv) > 1 else None))
