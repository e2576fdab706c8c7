"""Instructions on words and letters that must appear, or must not. Case does not count."""

import re
from typing import Annotated

from pydantic import Field

from afterbase.verify.ifeval.instruction import Count, Instruction, Pattern, Relation, holds

Patterns = Annotated[list[Pattern], Field(min_length=1)]


class Existence(Instruction):
    """Every keyword somewhere, inside a longer word too."""

    keywords: Patterns

    def followed(self, text: str) -> bool:
        return all(re.search(keyword, text, re.IGNORECASE) for keyword in self.keywords)


class Frequency(Instruction):
    """One keyword so often, inside longer words too."""

    keyword: Annotated[Pattern, Field(min_length=1)]
    frequency: Count
    relation: Relation

    def followed(self, text: str) -> bool:
        found = re.finditer(self.keyword.strip(), text, re.IGNORECASE)
        return holds(sum(1 for _ in found), self.relation, self.frequency)


class ForbiddenWords(Instruction):
    """None of the words as a whole word."""

    forbidden_words: Patterns

    def followed(self, text: str) -> bool:
        return not any(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in self.forbidden_words)


class LetterFrequency(Instruction):
    """One letter so often.

    Some prompts of IFEval ask for `!` or `#`, and are held to that here. The reference draws a letter at random in
    their place, anew for each verdict, so that its own verdict on them is chance.
    """

    letter: str = Field(min_length=1, max_length=1)
    let_frequency: Count
    let_relation: Relation

    def followed(self, text: str) -> bool:
        return holds(text.lower().count(self.letter.lower()), self.let_relation, self.let_frequency)
