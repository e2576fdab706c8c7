"""The one error that users are meant to read."""


class UserError(ValueError):
    """Something the user can mend: the rule, what was got, and the remedy, in that order."""

    def __init__(self, rule: str, *, got: str, remedy: str) -> None:
        super().__init__(f"{rule}\n  got:    {got}\n  remedy: {remedy}")
        self.rule = rule
        self.got = got
        self.remedy = remedy
