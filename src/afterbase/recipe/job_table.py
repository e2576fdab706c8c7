"""The table of a job's recipe from what a command or a call says: defaults, a file, options, single settings.

Later ones win: a default of `defaults.py`, a recipe file, an option, `--set`. A setting is named by its dotted key in
the recipe; the stage's own may leave out the stage, and AdamW's the table `optimisation`: `epochs`, `learning_rate`.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from afterbase.core.errors import UserError
from afterbase.recipe.training_jobs import Job
from afterbase.train.config import Optimisation

Table = dict[str, Any]


def parse_settings(texts: Iterable[str]) -> Table:
    """`key=value` pairs of the command line as a flat table; a value is TOML's, or a text without quotes.

    >>> parse_settings(["epochs=3", "sft.too_long=split", "betas=[0.9, 0.99]"])
    {'epochs': 3, 'sft.too_long': 'split', 'betas': [0.9, 0.99]}
    """
    found: Table = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UserError("a setting is given as key=value", got=f"`{text}`", remedy="write --set sft.epochs=3")
        found[key.strip()] = _value(value.strip())
    return found


def _value(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if set(table) == {"value"} else text


def nested(settings: Mapping[str, Any], kind: type[Job], stage: str) -> Table:
    """A table of tables of settings with dotted keys, each where the recipe has it.

    >>> from afterbase.recipe import SftRecipe
    >>> nested({"epochs": 3, "learning_rate": 1e-4, "threads": 2}, SftRecipe, "sft")
    {'sft': {'epochs': 3, 'optimisation': {'learning_rate': 0.0001}}, 'threads': 2}
    """
    out: Table = {}
    for key, value in settings.items():
        *parents, name = _place(key.split("."), kind, stage)
        here = out
        for parent in parents:
            here = here.setdefault(parent, {})
            if not isinstance(here, dict):
                raise UserError("a key names a table or a value", got=f"`{key}` and `{parent}`", remedy="give one")
        here[name] = merged(here[name], value) if isinstance(value, dict) and name in here else value
    return out


def _place(parts: list[str], kind: type[Job], stage: str) -> list[str]:
    if parts[0] in kind.model_fields:
        return parts
    return [stage, "optimisation", *parts] if parts[0] in Optimisation.model_fields else [stage, *parts]


def table_of(table: Mapping[str, Any], name: str) -> Table:
    """The table of that name; an empty one where there is none, or another thing, which the check of all refuses.

    >>> table_of({"sft": {"epochs": 1}}, "sft"), table_of({"sft": 3}, "sft")
    ({'epochs': 1}, {})
    """
    found = table.get(name)
    return dict(found) if isinstance(found, Mapping) else {}


def merged(table: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """Both tables in one, at any depth; `over` wins.

    >>> merged({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}})
    {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    out = dict(table)
    for key, value in over.items():
        here = out.get(key)
        out[key] = merged(here, value) if isinstance(here, Mapping) and isinstance(value, Mapping) else value
    return out


def as_toml(table: Mapping[str, Any], *, head: str = "") -> str:
    """The table as a TOML document, with lines of comment at its head; None values are left out.

    >>> print(as_toml({"kind": "sft", "data": {"files": ["a.jsonl"]}, "sft": {"epochs": 2}}))
    kind = "sft"
    <BLANKLINE>
    [data]
    files = ["a.jsonl"]
    <BLANKLINE>
    [sft]
    epochs = 2
    <BLANKLINE>
    """
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    return comment + "\n".join(_lines(table, ())) + "\n"


def _lines(table: Mapping[str, Any], place: tuple[str, ...]) -> list[str]:
    given = {key: value for key, value in table.items() if value is not None}
    lines = [f"{_key(key)} = {_text(value)}" for key, value in given.items() if not isinstance(value, Mapping)]
    if place and (lines or not given):
        lines = ["", f"[{'.'.join(map(_key, place))}]", *lines]
    for key, value in given.items():
        if isinstance(value, Mapping):
            lines += _lines(value, (*place, key))
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: Any) -> str:
    match value:
        case Mapping():
            return "{ " + ", ".join(f"{_key(k)} = {_text(v)}" for k, v in value.items() if v is not None) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_text, value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool() | int() | float():
            return json.dumps(value)
    raise UserError(
        "a setting is a number, a text, true or false, a list or a table", got=repr(value), remedy="change it"
    )
