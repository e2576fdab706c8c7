"""Instructions on length: words, sentences, and paragraphs by either of two marks."""

import re
from typing import Self

from pydantic import Field, model_validator

from afterbase.verify.ifeval.english import sentences
from afterbase.verify.ifeval.instruction import Count, Instruction, Relation, holds

_WORD = re.compile(r"\w+")
_ENDS_A_WORD = re.compile(r"""[.,?!'"]""")


class NumberWords(Instruction):
    """Runs of letters, digits and underscores: "don't" is two words."""

    num_words: Count
    relation: Relation

    def followed(self, text: str) -> bool:
        return holds(sum(1 for _ in _WORD.finditer(text)), self.relation, self.num_words)


class NumberSentences(Instruction):
    """Sentences as the Punkt model of English splits them."""

    num_sentences: Count
    relation: Relation

    def followed(self, text: str) -> bool:
        return holds(len(sentences(text)), self.relation, self.num_sentences)


class NumberParagraphs(Instruction):
    """So many paragraphs between the dividers ***; one may stand before the first and after the last, no two adjoin."""

    num_paragraphs: Count

    def followed(self, text: str) -> bool:
        filled = [bool(part.strip()) for part in text.split("***")]
        return all(filled[1:-1]) and sum(filled) == self.num_paragraphs


class NthParagraphFirstWord(Instruction):
    """So many paragraphs between blank lines, and the first word of one of them.

    As in the reference, empty ones are not counted and yet have their place: after three line breaks the n-th
    paragraph may be an empty one, which is wrong. A word ends at punctuation: "really" is found in "Rea!lly" no more.
    """

    num_paragraphs: Count
    nth_paragraph: int = Field(ge=1)
    first_word: str

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        # One beyond the last can be asked for: the reference draws that too, and then nothing follows it.
        if self.nth_paragraph > self.num_paragraphs + 1:
            raise ValueError(f"nth_paragraph {self.nth_paragraph} is beyond num_paragraphs {self.num_paragraphs}")
        return self

    def followed(self, text: str) -> bool:
        paragraphs = text.split("\n\n")
        count = sum(1 for paragraph in paragraphs if paragraph.strip())
        if count != self.num_paragraphs or self.nth_paragraph > count:
            return False
        words = paragraphs[self.nth_paragraph - 1].split(maxsplit=1)
        if not words:
            return False
        word = words[0].lstrip("'").lstrip('"')
        letters = _ENDS_A_WORD.split(word, maxsplit=1)[0]
        # Letter by letter, as the reference: a capital sigma at a word's end has another small form in the whole word.
        return "".join(letter.lower() for letter in letters) == self.first_word.lower()
