"""The one error that users are meant to read."""

from collections.abc import Callable


class UserError(ValueError):
    """Something the user can mend: the rule, what was got, and the remedy, in that order."""

    def __init__(self, rule: str, *, got: str, remedy: str) -> None:
        super().__init__(f"{rule}\n  got:    {got}\n  remedy: {remedy}")
        self.rule = rule
        self.got = got
        self.remedy = remedy

    def __reduce__(self) -> tuple[Callable[..., "UserError"], tuple[str, str, str]]:
        """How it comes back from another process."""
        return _again, (self.rule, self.got, self.remedy)


def _again(rule: str, got: str, remedy: str) -> UserError:
    return UserError(rule, got=got, remedy=remedy)
