"""The one error that users are meant to read, and what is none: waiting for people."""

from collections.abc import Callable

from afterbase.core.sanitize import sanitized
from afterbase.core.secret_masking import masked


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


class Waiting(UserError):  # noqa: N818  # nothing went wrong
    """A run stopped, in good order, where people have to do something first; the same command continues from there."""


def _again(kind: type[UserError], rule: str, got: str, remedy: str) -> UserError:
    return kind(rule, got=got, remedy=remedy)
