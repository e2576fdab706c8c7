"""Source code in languages with braces, as far as tests have to be fitted into it: matching braces, `main` cut out.

Strings, characters and comments are passed over. Does not cover raw strings, templates of JavaScript, and macros.
"""

import re

_PASSED_OVER = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'|[{}]", re.DOTALL
)  # and the braces, which are not


def closing(source: str, opening: int) -> int | None:
    """The place of the brace that closes the one at `opening`; None where it stays open."""
    depth = 0
    for token in _PASSED_OVER.finditer(source, opening):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0:
            return token.start()
    return None


def without(source: str, head: str) -> str:
    """The source without the first function whose head, up to its parameters, matches the pattern."""
    found = re.search(head, source)
    opening = source.find("{", found.end()) if found is not None else -1
    if found is None or opening < 0:
        return source
    end = closing(source, opening)
    return source[: found.start()] + ("" if end is None else source[end + 1 :])


def enclosing(source: str, place: int) -> int | None:
    """The place of the innermost brace that is open at `place`."""
    open_braces: list[int] = []
    for token in _PASSED_OVER.finditer(source):
        if token.start() >= place:
            break
        if token.group() == "{":
            open_braces.append(token.start())
        elif token.group() == "}" and open_braces:
            open_braces.pop()
    return open_braces[-1] if open_braces else None
