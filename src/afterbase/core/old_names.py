"""The one table of recipe keys and command-line options that have other names now.

An old name is read as the new one, with a warning that names both. An artifact's key is computed under the old name
for ever, so that what lies in a store stays valid: after the release of `until` a row's old name is refused, and the
row stays. Recipes and documents use the new names.
"""

import functools
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from afterbase.core.distributed import rank
from afterbase.core.errors import UserError


class Renamed(NamedTuple):
    """`owner`: the config class that declares the key, as `Grpo`; or the command that has the option, as `eval model`.

    `until`: the last release that reads the old name.
    """

    owner: str
    old: str
    new: str
    until: str


RENAMED = (Renamed("Grpo", "prefer_middling", "difficulty_weighted", until="0.2"),)


def with_new_names(
    table: dict[str, Any], owners: Iterable[str], place: str, *, renamed: Sequence[Renamed] = RENAMED
) -> dict[str, Any]:
    """A recipe's table under the present names; `place` is where it stands, as `expert.grpo`, for an error.

    Raises UserError where a key is given under both names.
    """
    new_of = {row.old: row for row in renamed if row.owner in set(owners) and row.old in table}
    dot = f"{place}." if place else ""
    for row in new_of.values():
        if row.new in table:
            raise UserError(
                f"`{dot}{row.old}` is the old name of `{dot}{row.new}`", got="both", remedy=f"remove `{row.old}`"
            )
        _warn(row)
    return {new_of[key].new if key in new_of else key: value for key, value in table.items()}


def name_in_key(owners: Iterable[str], name: str, *, renamed: Sequence[Renamed] = RENAMED) -> str:
    """The name under which a setting goes into artifacts' keys: its first one."""
    own = {row.new: row.old for row in renamed if row.owner in set(owners)}
    while name in own:
        name = own[name]
    return name


def with_new_options(words: Sequence[str], *, renamed: Sequence[Renamed] = RENAMED) -> list[str]:
    """A command line under the present names of its options; what stands behind `--` is no option."""
    out, options_end = list(words), words.index("--") if "--" in words else len(words)
    for row in renamed:
        command = row.owner.split()
        if list(words[: len(command)]) != command:
            continue
        for at, word in enumerate(out[:options_end]):
            option, equals, value = word.partition("=")
            if option == row.old:
                _warn(row)
                out[at] = f"{row.new}{equals}{value}"
    return out


@functools.cache  # once a run
def _warn(row: Renamed) -> None:
    if rank() == 0:
        logging.getLogger(__name__).warning(
            "warning: `%s` is called `%s` now; its old name is read until release %s", row.old, row.new, row.until
        )
