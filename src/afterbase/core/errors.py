"""The one error that users are meant to read, several of them at once, and what is none: waiting for people.

Also what is told where the packages of an extra are missing.
"""

import contextlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from afterbase.core.sanitize import sanitized
from afterbase.core.secret_masking import masked

Extra = Literal["datasets", "ifeval", "lora", "postgres", "ray", "review"]
MODULES: dict[Extra, tuple[str, ...]] = {
    "datasets": ("datasets",),
    "ifeval": ("langdetect", "nltk", "punkt"),
    "lora": ("peft",),
    "postgres": ("psycopg",),
    "ray": ("ray", "pandas"),
    "review": ("sqlalchemy", "nh3", "latex2mathml"),
}
"""What is imported of each extra of pyproject.toml."""


class UserError(ValueError):
    """Something the user can mend: the rule, what was got, and the remedy, in that order; secrets are masked."""

    def __init__(self, rule: str, *, got: str, remedy: str) -> None:
        rule, got, remedy = masked(rule), masked(got), masked(remedy)
        super().__init__(sanitized(f"{rule}\n  got:    {got}\n  remedy: {remedy}"))  # a name in it may be anybody's
        self.rule = rule
        self.got = got
        self.remedy = remedy

    def __reduce__(self) -> tuple[Callable[..., "UserError"], tuple[type["UserError"], str, str, str]]:
        """How it comes back from another process."""
        return _again, (type(self), self.rule, self.got, self.remedy)


class UserErrors(UserError):  # noqa: N818  # the plural of UserError
    """Several things the user can mend, told at once and numbered; rule, got and remedy are those of the first."""

    def __init__(self, errors: Sequence[UserError]) -> None:
        assert len(errors) > 1, "one error is told in its own form"
        first = errors[0]
        super().__init__(first.rule, got=first.got, remedy=first.remedy)
        told = "\n".join(f"{number}. {error}" for number, error in enumerate(errors, start=1))
        self.args = (f"{len(errors)} mistakes, each with its remedy\n{told}",)
        self.errors = tuple(errors)

    def __reduce__(self) -> tuple[type["UserErrors"], tuple[tuple[UserError, ...]]]:  # pyright: ignore
        """How they come back from another process."""
        return type(self), (self.errors,)


def each(error: UserError) -> tuple[UserError, ...]:
    """The single errors in one."""
    return error.errors if isinstance(error, UserErrors) else (error,)


def refuse(errors: Iterable[UserError]) -> None:
    """Raise what was found, each finding once: nothing, the one error, or UserErrors."""
    found = list({str(single): single for error in errors for single in each(error)}.values())
    if found:
        raise found[0] if len(found) == 1 else UserErrors(found)


@contextlib.contextmanager
def collect(found: list[UserError]) -> Iterator[None]:
    """Put a UserError of the block into `found` and go on behind the block.

    >>> found = []
    >>> with collect(found):
    ...     raise UserError("a rule", got="this", remedy="do that")
    >>> [error.rule for error in found]
    ['a rule']
    """
    try:
        yield
    except Waiting:
        raise
    except UserError as error:
        found.extend(each(error))


def missing_modules(extra: Extra) -> list[str]:
    """What of an extra is not installed; nothing is imported."""
    return [name for name in MODULES[extra] if importlib.util.find_spec(name) is None]


def refuse_missing_extra(extra: Extra, rule: str, *, otherwise: str = "") -> None:
    """UserError where a package of an extra is not installed, with the command that installs it.

    `rule` says what needs the extra, `otherwise` how to do without it.
    """
    if missing := missing_modules(extra):
        remedy = f"pip install 'afterbase[{extra}]'" + (f", or {otherwise}" if otherwise else "")
        raise UserError(rule, got=f"not installed: {', '.join(missing)}", remedy=remedy)


class Waiting(UserError):  # noqa: N818  # nothing went wrong
    """A run stopped, in good order, where people have to do something first; the same command continues from there."""


def _again(kind: type[UserError], rule: str, got: str, remedy: str) -> UserError:
    return kind(rule, got=got, remedy=remedy)
