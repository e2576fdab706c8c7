"""Lines of code without a fence, recognised by their shape."""

import re

# Lines that are code whatever they say, and lines that are code unless they read as a sentence.
_CODE = re.compile(
    r"\s*(?:"
    r"(?:async\s+)?def \w+\s*\(.*|class \w+\s*(?:\(.*|[:{])|class \w+ (?:extends|implements) \w.*"
    r"|@\w+(?:\.\w+)*(?:\(.*\))?"
    r"|import \w[\w.]*(?:\s*,\s*\w[\w.]*)*(?: as \w+)?;?|import [\w{}*, ]+ from ['\"].*|from [\w.]+ import .+"
    r"|#include\s*[<\"].*|using (?:namespace )?\w[\w.:]*;|package [\w.]+;"
    r"|<\?php.*|\?>|>>> .*|\.\.\. .*|\$ \w.*|//.*|/\*.*"
    r"|(?:print|console\.log|System\.out\.print(?:ln)?|printf|fmt\.Print(?:ln|f)?)\s*\(.*|echo ['\"$].*"
    r"|(?:const|let|var|int|float|double|char|bool|boolean|string|String|auto|long)\s+\w+\s*=.*;"
    r"|SELECT\b.*\bFROM\b.*|INSERT INTO .*|UPDATE \w+ SET .*|DELETE FROM .*|(?:CREATE|ALTER|DROP) TABLE .*"
    r"|(?:sudo )?(?:pip3?|npm|npx|yarn|git|docker|apt|apt-get|conda|cargo) (?:-\w+ )?(?:install|add|clone|commit|push"
    r"|pull|run|build|checkout|create|update) ?.*|(?:cd|ls|mkdir|chmod|rm|sudo) -?[\w./~+-]+|python3? [\w./-]+\.py.*"
    r"|\"[\w $.-]+\"\s*:\s*(?:[\[{\d\"tfn-].*)|[\])}]+[,;]?"
    r"|(?:for|while|if)\b.*;\s*(?:do|then)|#!.*|lambda \w+(?:, ?\w+)*:.*|(?:break|continue|pass|fi|esac|done);?"
    r")",
    re.ASCII,
)
_CODE_UNLESS_PROSE = re.compile(
    r"\s*(?:"
    r"return\b.*|(?:if|elif|while|for|with|switch|catch|else if)\b.*[:{]|(?:else|try|finally|do)\s*[:{]?"
    r"|(?:public|private|protected|static|final|const|let|var|int|float|double|char|bool|boolean|string|void|auto"
    r"|function|func|fn|long)\b.*[;{=(].*|(?:WHERE|FROM|GROUP BY|ORDER BY|(?:LEFT |INNER )?JOIN|HAVING|LIMIT)\b.*"
    r"|[\w.\[\]'\"]+\s*(?:[-+*/|&%]|:)?=\s*[^=\s].*|[\w.>-]+\(.*\)\s*[;:{]?|.*[;{}]"
    r")\s*(?:(?:#|//).*)?",
    re.ASCII,
)
_QUOTES = ('"""', "'''")
_WORD = re.compile(r"[^\W\d_]{2,}")


def without_code(text: str) -> str:
    """A text without its lines of code, and without the strings in three quotes that follow one."""
    out, after_code, closing = [], False, ""
    for line in text.split("\n"):
        bare = line.strip()
        if closing or (after_code and bare[:3] in _QUOTES):
            opened, closing = not closing, closing or bare[:3]
            if closing in (bare[3:] if opened else bare):
                closing = ""
        elif is_code(line):
            after_code = True
        else:
            out.append(line)
            after_code = after_code and not bare
            continue
        out.append("")
    return "\n".join(out)


def is_code(line: str) -> bool:
    """Whether a line without a fence is a statement, a query, a command or a comment of a common language."""
    if len(line) > 2000 or not line or line.isspace():
        return False
    return bool(_CODE.fullmatch(line) or (_CODE_UNLESS_PROSE.fullmatch(line) and not _reads_as_prose(line)))


def _reads_as_prose(line: str) -> bool:
    """Whether a line that looks like code is mostly words: "If it rains, we stay:" ends as a statement does."""
    words = _WORD.findall(line)
    symbols = sum(not (c.isalnum() or c.isspace() or c in ",.;'’\"-:") for c in line)
    return len(words) >= 3 and symbols <= len(words) / 4
