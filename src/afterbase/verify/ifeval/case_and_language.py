"""Instructions on language and case. A text without a known language, such as digits, follows its instruction."""

import functools
from pathlib import Path
from typing import Any, Literal

from afterbase.verify.ifeval.english import refuse_without_ifeval, words
from afterbase.verify.ifeval.instruction import Count, Instruction, Relation, holds

# fmt: off
Code = Literal[
    "af", "ar", "bg", "bn", "ca", "cs", "cy", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "gu", "he", "hi",
    "hr", "hu", "id", "it", "ja", "kn", "ko", "lt", "lv", "mk", "ml", "mr", "ne", "nl", "no", "pa", "pl", "pt", "ro",
    "ru", "sk", "sl", "so", "sq", "sv", "sw", "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "zh-cn", "zh-tw",
]
# fmt: on
"""What langdetect can tell; IFEval asks for some of these."""


class ResponseLanguage(Instruction):
    """The whole is in one language, given by its code."""

    language: Code

    def followed(self, text: str) -> bool:
        return detected(text) in (self.language, None)


class EnglishCapital(Instruction):
    """English without a small letter."""

    def followed(self, text: str) -> bool:
        return text.isupper() and detected(text) in ("en", None)


class EnglishLowercase(Instruction):
    """English without a capital letter."""

    def followed(self, text: str) -> bool:
        return text.islower() and detected(text) in ("en", None)


class CapitalWordFrequency(Instruction):
    """So many words in capitals alone; "I" and "A" are such words."""

    capital_frequency: Count
    capital_relation: Relation

    def followed(self, text: str) -> bool:
        count = sum(1 for word in words(text) if word.isupper())
        return holds(count, self.capital_relation, self.capital_frequency)


def detected(text: str) -> str | None:
    """The language that langdetect finds with seed 0; None for a text without anything to tell it by."""
    detector = _detectors().create()
    from langdetect.lang_detect_exception import LangDetectException

    detector.append(text)
    try:
        return detector.detect()
    except LangDetectException:
        return None


@functools.cache
def _detectors() -> Any:
    """A factory of our own: langdetect's seed is global, and its order of languages that of the file system."""
    refuse_without_ifeval()
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    factory = DetectorFactory()
    factory.set_seed(0)
    profiles = sorted(path for path in Path(PROFILES_DIRECTORY).iterdir() if not path.name.startswith((".", "_")))
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in profiles])
    return factory
