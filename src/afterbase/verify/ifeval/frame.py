"""Instructions on what stands around or between: how the text begins and ends, two answers in one, no comma."""

from typing import Annotated

from pydantic import Field

from afterbase.verify.ifeval.instruction import Instruction


class RepeatPrompt(Instruction):
    """The request over again, and then the answer."""

    prompt_to_repeat: Annotated[str, Field(min_length=1)]

    def followed(self, text: str) -> bool:
        return text.strip().lower().startswith(self.prompt_to_repeat.strip().lower())


class TwoResponses(Instruction):
    """Two different answers with ****** between them; a divider may also stand before the first and after the last."""

    def followed(self, text: str) -> bool:
        parts = [part.strip() for part in text.split("******")]
        answers = [part for part in parts if part]
        return all(parts[1:-1]) and len(answers) == 2 and answers[0] != answers[1]


class EndChecker(Instruction):
    """A phrase at the very end; double quotation marks may follow."""

    end_phrase: str

    def followed(self, text: str) -> bool:
        return text.strip().strip('"').lower().endswith(self.end_phrase.strip().lower())


class Quotation(Instruction):
    """The whole between double quotation marks."""

    def followed(self, text: str) -> bool:
        text = text.strip()
        return len(text) > 1 and text.startswith('"') and text.endswith('"')


class NoComma(Instruction):
    """No comma anywhere."""

    def followed(self, text: str) -> bool:
        return "," not in text
