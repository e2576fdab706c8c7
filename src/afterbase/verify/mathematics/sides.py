r"""Where a text is split: at commas, equals signs and words such as "and", outside brackets; what is a name.

In x_1 = 7, f(2) = 5, m\angle ABC = 40, P(A) = \frac12 and x + y = 5 the left side is a name, and the right one the
answer.
"""

import re

_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[\s\S]")
_OPENING = frozenset(["(", "[", "{", r"\{", r"\lfloor", r"\lceil"])
_CLOSING = frozenset([")", "]", "}", r"\}", r"\rfloor", r"\rceil"])
_GREEK = r"\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|psi|omega|Delta|Phi|Omega|ell)"
_SUBSCRIPT = r"(?:\s*_\s*(?:\{[^{}]*\}|\\?\w+))?"
_APPLIED = r"(?:\s*\^\s*\{\s*-1\s*\})?(?:\s*\([^()=]*\))?"
_LETTER = rf"(?:{_GREEK}(?![a-zA-Z])|[a-zA-Z]|\\mathbf\{{\w\}}|\\vec\s*\{{?\s*\w+\s*\}}?){_SUBSCRIPT}'*(?:\^\\prime)?"
_NAME = re.compile(
    rf"\s*(?:{_LETTER}{_APPLIED}|{_LETTER}(?:\s*[+]\s*{_LETTER})+|\(\s*{_LETTER}(?:\s*,\s*{_LETTER})*\s*\)"
    r"|(?:m\s*|\\text\{m\}\s*)?\\(?:angle|triangle|widehat|overline)\s*\{?\s*[A-Z]+\s*\}?|\|?[A-Z]{2,4}\|?|\[[A-Z]+\]"
    rf"|\\(?:sin|cos|tan)\s*{_LETTER}|(?:\\Pr|\\mathbb\{{[PE]\}}|\\text\{{[PE]r?\}})\s*[(\[][^=]*[)\]]"
    r"|(?:\\text\s*\{[^{}=]*\}\s*)+|[A-Za-z][A-Za-z ]*[A-Za-z]|\\frac\{d\w?\}\{d\w\})\s*"
)

_SYSTEM = re.compile(
    r"(?:\\\{\s*)?\\begin\{(d?cases|aligned|align\*?|split|gathered|array)\}(?:\s*\{[lcr|\s]*\})?(.*)\\end\{\1\}\s*\.?",
    re.DOTALL,
)
_RELATED = re.compile(r"=|[<>]|\\(?:leq|geq|neq|in)(?![a-zA-Z])")


def split(text: str, *marks: str) -> tuple[list[str], list[str]]:
    """The parts between marks that stand outside brackets, and the marks; commands are marks as a whole."""
    parts, found, depth, start = [], [], 0, 0
    for token in _TOKEN.finditer(text):
        said = token.group()
        if said in _OPENING:
            depth += 1
        elif said in _CLOSING:
            depth -= 1
        elif depth == 0 and said in marks:
            parts.append(text[start : token.start()])
            found.append(said)
            start = token.end()
    return [*parts, text[start:]], found


def closes_last(text: str) -> bool:
    """Whether the bracket at the start is closed by the one at the end, and by no other."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token.group() in _OPENING) - (token.group() in _CLOSING)
        if depth == 0:
            return token.end() == len(text)
    return False


def is_name(text: str) -> bool:
    """Whether it names what the answer is the value of."""
    return len(text) < 80 and _NAME.fullmatch(text) is not None


def is_applied(text: str) -> bool:
    """Whether it is a function of a letter: f(x)."""
    return re.fullmatch(r"\s*[a-zA-Z]\s*\(\s*[a-zA-Z]\s*\)\s*", text) is not None


def equations(text: str, row: str) -> list[str] | None:
    """The equations of a system, one a row; none for a function by cases; None if the text is no such block."""
    system = _SYSTEM.fullmatch(text)
    if system is None:
        return None
    out = [one.replace("&", " ").strip().rstrip(",;") for one in system[2].split(row) if one.strip()]
    return out if all(_RELATED.search(one) for one in out) and r"\text" not in system[2] else []
