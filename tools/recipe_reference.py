"""Write docs/reference/recipes.md: every key of every kind of recipe, from the code that reads it.

Types, limits and defaults are those of the fields; the words are the docstrings under them. A test compares the page
with what this makes.
"""

import json
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from afterbase.core.config import Config, is_how
from afterbase.recipe.load_recipe import KINDS

PAGE = Path(__file__).parents[1] / "docs/reference/recipes.md"
_HEAD = """# Keys of recipes

`tools/recipe_reference.py` writes this page from the code; do not edit it. A recipe is a TOML file that `afterbase run`
and `afterbase plan` take. Its `kind` says which keys it has at the top. A table may stand in several places; what it
holds is told once, below the kinds.

Each key has its type, its limits and its default, or is *required*. *How* marks a key that changes how a stage runs and
not what it makes: finished work stays valid under another value.
"""
_PLAIN = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "text"}
_LIMITS = {Ge: ("ge", "{} or more"), Gt: ("gt", "above {}"), Le: ("le", "at most {}"), Lt: ("lt", "below {}"),
           MinLen: ("min_length", "at least {} long"), MaxLen: ("max_length", "at most {} long")}  # fmt: skip


def page() -> str:
    """The whole page."""
    places: dict[type[Config], list[str]] = {}
    for kind, model in KINDS.items():
        _find(model, kind, "", places)
    names = [model.__name__ for model in places]
    assert len(set(names)) == len(names), "two tables of one name would have one heading"
    parts = [_HEAD, "## Kinds\n"]
    parts += [_section(f"`{kind}`", model, "") for kind, model in KINDS.items()]
    parts.append("## Tables\n")
    for model in sorted(places, key=lambda model: model.__name__):
        where = f"In {', '.join(dict.fromkeys(places[model]))}."
        parts.append(_section(model.__name__, model, where))
    return "\n".join(parts)


def _find(model: type[Config], kind: str, prefix: str, places: dict[type[Config], list[str]]) -> None:
    """Every table below a model, with the places where it stands."""
    for name, field in model.model_fields.items():
        for inner, path in _tables(field.annotation, f"{prefix}{name}"):
            places.setdefault(inner, []).append(f"`[{path}]`")
            _find(inner, kind, f"{path}.", places)


def _tables(annotation: Any, path: str) -> Iterator[tuple[type[Config], str]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation, path
    for arg in get_args(annotation):
        yield from _tables(arg, f"{path}.NAME" if get_origin(annotation) is dict else path)


def _section(title: str, model: type[Config], where: str) -> str:
    says = " ".join(str(model.__doc__).split())
    lines = [f"### {title}", "", *textwrap.wrap(f"{says} {where}".strip(), 120, break_on_hyphens=False), ""]
    for name, field in model.model_fields.items():
        lines += textwrap.wrap(
            _key(name, field), 118, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
        )
    return "\n".join(lines) + "\n"


def _key(name: str, field: FieldInfo) -> str:
    facts = ", ".join([_type(field.annotation), *_limits(field.metadata)])
    needed = "*required*" if field.is_required() else f"default {_default(field)}"
    how = "; *how*" if is_how(field) else ""
    return f"`{name}`: {facts}; {needed}{how}. {' '.join(str(field.description or '').split())}".strip()


def _type(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join([_type(args[0]), *_limits(args[1:])])
    if origin in (Union, UnionType):
        return " or ".join(_type(arg) for arg in args if arg is not NoneType)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(arg)}`" for arg in args)
    if origin is dict:
        return f"a table of names with {_type(args[1])} each"
    if origin in (tuple, list):
        return f"an array of {_type(args[0])}" if ... in args or origin is list else f"an array of {len(args)} numbers"
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return f"table [{annotation.__name__}](#{annotation.__name__.lower()})"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{json.dumps(item.value)}`" for item in annotation)
    return _PLAIN[annotation]


def _limits(metadata: Any) -> list[str]:
    found = []
    for item in metadata:
        if type(item) in _LIMITS:
            attribute, words = _LIMITS[type(item)]
            found.append(words.format(getattr(item, attribute)))
        elif isinstance(getattr(item, "pattern", None), str):
            found.append(f"like `{item.pattern}`")
    return found


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:  # made by a factory
        made = field.default_factory() if field.default_factory in (dict, list) else None  # type: ignore[call-arg]
        return "empty" if made is not None else "told below" if field.default_factory is not None else "none"
    if isinstance(value, Config):
        return "the table's own"
    if value is None:
        return "none"
    plain = value.value if isinstance(value, Enum) else value
    return f"`{json.dumps(plain, ensure_ascii=False)}`"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
