"""Typed configuration: frozen, strict, read from TOML, with messages that say what to write instead.

A config lives beside the function that it configures; `afterbase.recipe` composes them. Tables may nest as `Config`,
`Config | None`, `tuple[Config, ...]` and `dict[str, Config]`; unions of different configs are not covered.
"""

import copy
import datetime
import difflib
import json
import re
import tomllib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from typing_extensions import TypeIs

from afterbase.core.errors import UserError, UserErrors, each, refuse
from afterbase.core.faults import rule
from afterbase.core.old_names import name_in_key, with_new_names
from afterbase.core.secret_masking import holds_password

T = TypeVar("T")
C = TypeVar("C", bound="Config")


class _HowMarker:
    """Marks a field that changes how a stage runs, never what it makes."""


_HOW = _HowMarker()
How = Annotated[T, _HOW]
"""`workers: How[int] = 2`: a field that stays out of the artifact's key."""


class Config(BaseModel):
    """The base of every config: immutable, no unknown keys, no coercion (an int may stand for a float, no more)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def all_below(settings: Config, prefix: str = "") -> Iterator[tuple[str, Config]]:
    """Every table of settings below one, by its dotted key."""
    for name, value in settings:
        tables = {name: value}
        if isinstance(value, dict):
            tables = {f"{name}.{inner}": item for inner, item in value.items()}
        elif isinstance(value, tuple):
            tables = {f"{name}[{number}]": item for number, item in enumerate(value)}
        for key, table in tables.items():
            if isinstance(table, Config):
                yield f"{prefix}{key}", table
                yield from all_below(table, f"{prefix}{key}.")


def what(config: Config) -> dict[str, Any]:
    """The fields that belong into an artifact's key, as plain JSON: all but those declared `How[...]`, at any depth."""
    owners = _owners(type(config))
    return {
        name_in_key(owners, name): _plain(getattr(config, name))
        for name, field in type(config).model_fields.items()
        if not is_how(field)
    }


def is_how(field: FieldInfo) -> bool:
    """Whether a field is declared `How[...]`."""
    return _HOW in field.metadata


def _owners(model: type[Config]) -> list[str]:
    """The classes that declare a config's keys, its own and those it derives from."""
    return [kind.__name__ for kind in model.__mro__]


def _plain(value: Any) -> Any:
    match value:
        case Config():
            return what(value)
        case Enum():
            return _plain(value.value)
        case None | bool() | int() | float() | str():
            return value
        case tuple() | list():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
    # A path, above all: where a file lies is no part of what it holds.
    raise AssertionError(f"{type(value).__name__} has no place in an artifact's key; declare the field How[...]")


def load_toml(path: Path, model: type[C]) -> C:
    """The config in a TOML file; UserError, or UserErrors, where it is not what `model` declares.

    All that is found is told at once, misspelt keys first. A validator of a whole table runs only where the values in
    the table are right.
    """
    return config_of(_read(path), model, path)


def config_of(table: dict[str, Any], model: type[C], source: Path | str) -> C:
    """The config that a table of TOML's types says; `source` is the file or the command that messages name."""
    table = _with_new_names(table, model, "")
    refuse(_passwords(table, "", source))
    unknown, checked = _with_nearest_names(table, source, model)
    try:
        config = _validated(checked, model)
    except ValidationError as error:
        refuse([*unknown, *(_explain(detail, source, model) for detail in _one_a_key(error, model))])
        raise AssertionError("a validation that failed has findings") from error
    refuse(unknown)
    return config


def _validated(table: dict[str, Any], model: type[C]) -> C:
    # TOML has the types of JSON, so strict JSON rules fit: arrays become tuples and strings enums, "3" is no 3.
    return model.model_validate_json(json.dumps(table, default=_refuse_type), strict=True)


def _with_nearest_names(
    table: dict[str, Any], source: Path | str, model: type[C]
) -> tuple[list[UserError], dict[str, Any]]:
    """What is said of unknown keys; and the table as if each were the key that it was meant to be, or not there.

    So a misspelt key leaves no required one missing, and what stands in a misspelt table is checked as well.
    """
    checked, said = copy.deepcopy(table), []
    while True:
        try:
            _validated(checked, model)
            unknown = []
        except ValidationError as error:
            unknown = [d for d in error.errors(include_url=False) if d["type"] == "extra_forbidden"]
        if not unknown:
            return said, checked
        said += [_explain(detail, source, model) for detail in unknown]
        for detail in unknown:
            *parents, name = detail["loc"]
            place: Any = checked
            for part in parents:
                place = place[part]
            value = place.pop(name)
            near = _near(name, [key for key in _annotation_at(model, parents).model_fields if key not in place])
            place.update(dict.fromkeys(near, value))


def _with_new_names(value: Any, annotation: Any, place: str) -> Any:
    """What was read at `place`, with the present names of keys in every table of it."""
    kind = _without_none(annotation)
    if _is_config(kind) and isinstance(value, dict):
        value = with_new_names(value, _owners(kind), place)
        inner = {name: field.annotation for name, field in kind.model_fields.items()}
        return {key: _with_new_names(item, inner.get(key), _dotted((place, key))) for key, item in value.items()}
    each = next((arg for arg in reversed(get_args(kind)) if arg is not ...), None)
    match value:
        case dict():
            return {key: _with_new_names(item, each, _dotted((place, key))) for key, item in value.items()}
        case list():
            return [_with_new_names(item, each, _dotted((place, at))) for at, item in enumerate(value)]
    return value


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        found = sorted({*path.parent.glob("*.toml"), *Path("recipes").glob("*.toml")})
        near = difflib.get_close_matches(path.name, [file.name for file in found], n=1)
        names = [str(file) for file in found if file.name in near] or [str(file) for file in found]
        remedy = f"did you mean {_or(names)}?" if names else "give the path of a TOML file"
        raise UserError(f"{path} must be a file", got="no such file", remedy=remedy)
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be TOML, in UTF-8", got=str(error), remedy="save the file as UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = f": `{text.splitlines()[int(place[1]) - 1].strip()}`" if place else ""
        raise UserError(
            f"{path} must be TOML", got=f"{error}{line}", remedy="mend that place: `key = value`, strings in quotes"
        ) from None


def _passwords(value: Any, key: str, source: Path | str) -> Iterator[UserError]:
    """What is said of passwords: a config is copied into artifacts and reports, and given to others."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from _passwords(inner, f"{key}.{name}" if key else name, source)
        case list():
            for inner in value:
                yield from _passwords(inner, key, source)
        case str() if holds_password(value):
            yield UserError(
                f"`{key}`: a config holds no password, since it is copied into reports",
                got=f"`{value}` in {source}",
                remedy="take the password out of the address; PGPASSWORD or ~/.pgpass holds that of a database, the "
                "variable that `token_variable` names that of an endpoint",
            )


def _refuse_type(value: Any) -> NoReturn:
    """UserError for a value that JSON cannot say: TOML's dates and times, and from Python anything."""
    if not isinstance(value, datetime.date | datetime.time):
        raise UserError(
            "a config holds what TOML can say",
            got=f"a {type(value).__name__}",
            remedy="use texts, numbers, true, false, arrays and tables",
        )
    raise UserError("a config holds no dates or times", got=str(value), remedy="put it in quotes if it is a name")


def _one_a_key(error: ValidationError, model: type[Config]) -> list[ErrorDetails]:
    """pydantic's findings; those on the kinds that one value may be of (`int | Literal["all"]`) are one."""
    found: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":  # for want of a value that is found wrong itself
            continue
        found.setdefault(_key_of(detail["loc"], model), []).append(detail)
    merged = []
    for loc, details in found.items():
        several = len(details) > 1 and all(len(detail["loc"]) > len(loc) for detail in details)
        words = " or ".join(dict.fromkeys(_words(detail) for detail in details))
        kinds = [{**details[0], "type": "value_error", "ctx": {"error": words}}] if several else details
        merged += [{**detail, "loc": loc} for detail in kinds]
    return merged


def _key_of(loc: tuple[int | str, ...], model: type[Config]) -> tuple[int | str, ...]:
    """A finding's place without what pydantic puts behind it: the kind, of several, that a value was tried as."""
    for end in range(len(loc)):
        here = _annotation_at(model, loc[:end])
        if not _is_config(here) and get_origin(here) not in (tuple, list, dict):
            return loc[:end]
    return loc


def _words(detail: ErrorDetails) -> str:
    return rule(detail).replace("an object", "a table").replace("a list", "an array")


def _explain(detail: ErrorDetails, source: Path | str, model: type[Config]) -> UserError:
    """One of pydantic's findings as rule, got, remedy."""
    *parents, name = detail["loc"] or ("",)
    key = _dotted(detail["loc"])
    kind, got = detail["type"], json.dumps(detail["input"], ensure_ascii=False)
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, UserError):  # from a validator of ours, which knows best
        told = [UserError(f"{_where(key)}{e.rule}", got=f"{e.got} ({source})", remedy=e.remedy) for e in each(cause)]
        return told[0] if len(told) == 1 else UserErrors(told)
    if kind == "value_error":
        return UserError(f"{_where(key)}{cause}", got=got, remedy=f"change it in {source}")
    if kind == "missing":
        is_table = _is_config(_annotation_at(model, detail["loc"]))
        place = f"under [{_dotted(parents)}]" if parents else "at the top"
        remedy = f"add a table [{key}]" if is_table else f"add `{name} = ...` {place}"
        return UserError(f"`{key}` must be given", got=f"no such key in {source}", remedy=remedy)
    if kind == "extra_forbidden":
        return UserError(
            f"unknown key `{key}`", got=f"`{name} = {got}` in {source}", remedy=_nearest(name, parents, model)
        )
    return UserError(
        f"`{key}` {_words(detail)}", got=got, remedy=f"change `{key}` in {source}{_default(detail['loc'], model)}"
    )


def _nearest(name: str | int, parents: list[str | int], model: type[Config]) -> str:
    valid = sorted(_annotation_at(model, parents).model_fields)
    near = _near(name, valid) or _elsewhere(str(name), model)
    hint = f"did you mean {_or(near)}? " if near else ""
    place = f"[{_dotted(parents)}]" if parents else "the top level"
    return f"{hint}valid keys of {place}: {', '.join(valid)}"


def _elsewhere(name: str, model: type[Config]) -> list[str]:
    """Dotted keys of other tables that end in the name, or else in the one that is nearest to it."""
    last: dict[str, list[str]] = {}
    for key in _keys(model, ""):
        last.setdefault(key.split(".")[-1], []).append(key)
    return last.get(name) or [key for near in _near(name, list(last)) for key in last[near]]


def _near(name: str | int, valid: list[str]) -> list[str]:
    """The key that a misspelt one was meant to be, or none."""
    return difflib.get_close_matches(str(name), valid, n=1)


def _default(loc: tuple[str | int, ...], model: type[Config]) -> str:
    """` (default: 2)` where the field at `loc` has a plain default."""
    table = _annotation_at(model, loc[:-1])
    field = table.model_fields.get(str(loc[-1])) if _is_config(table) else None
    if field is None or not isinstance(field.default, bool | int | float | str):
        return ""
    return f" (default: {json.dumps(field.default)})"


def _annotation_at(model: type[Config], loc: tuple[str | int, ...] | list[str | int]) -> Any:
    """The declared type at a path of keys, indices and dictionary keys."""
    here: Any = model
    for part in loc:
        if _is_config(here):
            here = _without_none(here.model_fields[str(part)].annotation)
        else:
            here = _without_none([arg for arg in get_args(here) if arg is not ...][-1])
    return here


def _is_config(annotation: Any) -> TypeIs[type[Config]]:
    return isinstance(annotation, type) and issubclass(annotation, Config)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return next(arg for arg in get_args(annotation) if arg is not NoneType)
    return annotation


def _keys(annotation: Any, prefix: str) -> Iterator[str]:
    """Every dotted key below an annotation; arrays and dictionaries of tables show as their own name."""
    if _is_config(annotation):
        for name, field in annotation.model_fields.items():
            yield f"{prefix}{name}"
            yield from _keys(field.annotation, f"{prefix}{name}.")
    for arg in get_args(annotation):
        yield from _keys(arg, prefix)


def _dotted(loc: tuple[str | int, ...] | list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _where(key: str) -> str:
    return f"`{key}`: " if key else ""


def _or(names: list[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)
