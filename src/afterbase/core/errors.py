"""The one error that users are meant to read, and what is none: waiting for people."""


class UserError(ValueError):
    """Something the user can mend: the rule, what was got, and the remedy, in that order."""

    def __init__(self, rule: str, *, got: str, remedy: str) -> None:
        super().__init__(f"{rule}\n  got:    {got}\n  remedy: {remedy}")
        self.rule = rule
        self.got = got
        self.remedy = remedy


class Waiting(UserError):  # noqa: N818  # nothing went wrong
    """A run stopped, in good order, where people have to do something first; the same command goes on from there."""
