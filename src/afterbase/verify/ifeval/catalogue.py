"""The 25 instructions of IFEval by their ids (Zhou et al., arXiv 2311.07911).

Verdicts are those of google-research's `instruction_following_eval`, whose regular expressions and oddities define
the benchmark; the code is our own.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.core.faults import first_fault
from afterbase.verify.ifeval import case_and_language as language
from afterbase.verify.ifeval import frame, keywords, length
from afterbase.verify.ifeval import text_form as formats
from afterbase.verify.ifeval.instruction import Instruction

INSTRUCTIONS: dict[str, type[Instruction]] = {
    "change_case:capital_word_frequency": language.CapitalWordFrequency,
    "change_case:english_capital": language.EnglishCapital,
    "change_case:english_lowercase": language.EnglishLowercase,
    "combination:repeat_prompt": frame.RepeatPrompt,
    "combination:two_responses": frame.TwoResponses,
    "detectable_content:number_placeholders": formats.NumberPlaceholders,
    "detectable_content:postscript": formats.Postscript,
    "detectable_format:constrained_response": formats.ConstrainedResponse,
    "detectable_format:json_format": formats.JsonFormat,
    "detectable_format:multiple_sections": formats.MultipleSections,
    "detectable_format:number_bullet_lists": formats.NumberBulletLists,
    "detectable_format:number_highlighted_sections": formats.NumberHighlightedSections,
    "detectable_format:title": formats.Title,
    "keywords:existence": keywords.Existence,
    "keywords:forbidden_words": keywords.ForbiddenWords,
    "keywords:frequency": keywords.Frequency,
    "keywords:letter_frequency": keywords.LetterFrequency,
    "language:response_language": language.ResponseLanguage,
    "length_constraints:nth_paragraph_first_word": length.NthParagraphFirstWord,
    "length_constraints:number_paragraphs": length.NumberParagraphs,
    "length_constraints:number_sentences": length.NumberSentences,
    "length_constraints:number_words": length.NumberWords,
    "punctuation:no_comma": frame.NoComma,
    "startend:end_checker": frame.EndChecker,
    "startend:quotation": frame.Quotation,
}


def build(instruction_id: str, kwargs: Mapping[str, Any]) -> Instruction:
    """The instruction with its arguments; those that are None are as good as left out.

    UserError for an id that is none, and for arguments that are missing, unknown or out of range: the reference would
    draw some of them at random.
    """
    if instruction_id not in INSTRUCTIONS:
        raise UserError(
            "an instruction is one of IFEval's 25",
            got=f"`{instruction_id}`",
            remedy=f"use one of {', '.join(INSTRUCTIONS)}",
        )
    kind = INSTRUCTIONS[instruction_id]
    try:
        return kind.model_validate({key: value for key, value in kwargs.items() if value is not None})
    except ValidationError as error:
        place, fault = first_fault(error)
        raise UserError(
            f"`{instruction_id}` takes {', '.join(kind.model_fields) or 'no arguments'}",
            got=f"{place}: {fault}" if place else fault,
            remedy="correct the instruction's kwargs",
        ) from error
