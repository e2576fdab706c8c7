"""Whether two scripts of an answer each say something: asked of every row, before `verify/language/text_language.py`.

Code, mathematics and addresses are out. A script says something with three words in a row of Latin letters, two of them
in lower case (titles and names are none); three words of another alphabet; five characters of Chinese, Japanese or
Korean, numbers and punctuation between them allowed. What this passes over, `verify/language/text_language.py` calls
mixed only where two languages share a script, such as English and French: asking that of every row costs some
milliseconds each.
"""

import re

from afterbase.verify.language.text_language import language

_ASIDE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\[A-Za-z]+|https?://\S+", re.DOTALL
)
_LATIN = re.compile(r"[^\W\d_\u0370-\uffff]+(?:[ ,'’-]+[^\W\d_\u0370-\uffff]+){2,}")
_OTHERS = {
    "cjk": re.compile(
        r"(?:[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3][\d\s，。、；：！？“”（）,.]{0,3}){5}"
    ),
    "cyrillic": re.compile(r"[\u0400-\u04ff]+(?:[ ,-]+[\u0400-\u04ff]+){2,}"),
    "arabic": re.compile(r"[\u0600-\u06ff]+(?:[ ,-]+[\u0600-\u06ff]+){2,}"),
    "hebrew": re.compile(r"[\u0590-\u05ff]+(?:[ ,-]+[\u0590-\u05ff]+){2,}"),
    "greek": re.compile(r"[\u0370-\u03ff]{2,}(?:[ ,-]+[\u0370-\u03ff]{2,}){2,}"),
    "devanagari": re.compile(r"[\u0900-\u097f]+(?:[ ,-]+[\u0900-\u097f]+){2,}"),
    "thai": re.compile(r"[\u0e00-\u0e7f]{8}"),
}


def two_scripts(text: str) -> bool:
    """Whether two scripts each say something."""
    if text.isascii():
        return False
    prose = _ASIDE.sub(" ", text)
    spoken = sum(pattern.search(prose) is not None for pattern in _OTHERS.values())
    return spoken > 1 or (spoken == 1 and any(_speaks(m[0]) for m in _LATIN.finditer(prose)))


def _speaks(run: str) -> bool:
    return sum(word.islower() for word in re.split(r"[ ,'’-]+", run)) >= 2


def mixed(text: str, *, one_script_too: bool = False) -> bool:
    """Whether a text is in two languages of different scripts, or of one script too."""
    return (one_script_too or two_scripts(text)) and language(text) == "mixed"
