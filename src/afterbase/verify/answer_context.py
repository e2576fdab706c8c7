"""How an answer came about, beside its text: what a verifier may ask for."""

from typing import NamedTuple


class AnswerContext(NamedTuple):
    """Length in tokens and step of the training, None where not known; whether the budget cut the answer off."""

    tokens: int | None = None
    truncated: bool = False
    step: int | None = None

    @property
    def length(self) -> int:
        """The tokens, where they are known, as in training."""
        assert self.tokens is not None
        return self.tokens


NO_CONTEXT = AnswerContext()
