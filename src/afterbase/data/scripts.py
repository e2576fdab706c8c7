"""Whether an answer is written in two languages of different scripts: cheap enough to ask of every row.

Code, mathematics and addresses are out. Two scripts count when each says something: three words in a row of Latin
letters, two of them in lower case (titles and names are none); three words of another alphabet; five characters of
Chinese, Japanese or Korean, numbers and punctuation between them allowed.

Does not cover: two languages of one script, such as English and French (`verify` tells those apart, at a hundred times
the cost).
"""

import re

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
