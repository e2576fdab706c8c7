r"""What is left of a text when everything that is not natural language is out: code, mathematics, addresses, data.

Each piece that is cut out of a line leaves one `GAP`: "so $x = 3$ holds" still is one sentence with one thing in it.
Nothing is parsed by the rules of a language: a line of code without a fence is known by its shape.
"""

import html
import json
import re
import unicodedata

from afterbase.core.code.code_lines import without_code

GAP = "\ufffc"
LONGEST = 200_000
"""Characters of a text that are looked at; a response has far fewer."""

_FENCE = re.compile(r"^[ \t>]*(```|~~~).*?(?:^[ \t>]*\1`*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_BLOCKS = re.compile(
    r"<(script|style|svg|math)\b[^>]{0,400}>.*?(?:</\1>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL | re.IGNORECASE
)
_INLINE_CODE = re.compile(r"(`+)(?!`)[^\n]{1,400}?(?<!`)\1(?!`)")
_MATHS = [
    re.compile(r"\$\$.*?(?:\$\$|\Z)", re.DOTALL),
    re.compile(r"\\\[.*?(?:\\\]|\Z)", re.DOTALL),
    re.compile(r"\\\(.*?(?:\\\)|$)", re.MULTILINE),
    re.compile(
        r"\\begin\{(equation|align|alignat|gather|multline|eqnarray|cases|array|matrix|[pbvBV]matrix|tabular|aligned"
        r"|split|lstlisting|verbatim|minted|displaymath|math|tikzpicture)\*?\}.*?(?:\\end\{\1\*?\}|\Z)",
        re.DOTALL,
    ),
    # A dollar that opens touches what follows, one that closes touches what went before and no digit after it.
    re.compile(r"(?<![\\$\w])\$(?![\s$])(?:[^$\n\\]|\\.){0,600}?(?<![\s\\])\$(?![\d$])"),
]
_FORMATTING = re.compile(
    r"\\(?:textbf|textit|emph|underline|textsc|section|subsection|subsubsection|paragraph|title|caption|item)\*?"
)
_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]{0,200}\}){0,200}\}){0,400}\}"
_COMMAND = re.compile(rf"\\[a-zA-Z]+\*?(?:\[[^\]\n]{{0,100}}\])?(?:{_BRACES})*(?:[_^](?:{_BRACES}|\w))*")
_SPACING = re.compile(r"\\[,;:! ]")
_WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\[^\s]{0,200}")
_ADDRESS = re.compile(
    r"(?:https?|ftp|file|ssh|git)://[^\s<>\"'）)】」』，。；]*[^\s<>\"'）)】」』，。；,.;:!?]|www\.[^\s<>\"'）)，。；]+|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}",
    re.ASCII,
)
_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{1,500}\)")
_TAG = re.compile(r"</?[A-Za-z][\w:-]{0,40}(?:\s[^<>]{0,400})?/?>|<\|[\w ]{1,40}\|>|<｜[^<>｜]{1,40}｜>", re.ASCII)
# Identifiers, paths, file names, formulas without spaces, versions: ASCII runs that no word of prose looks like.
_SYMBOLIC = re.compile(
    r"(?<![^\W\d_])(?:"
    r"(?:~|\.{1,2})?/[\w.-]{1,40}(?:/[\w.-]{0,40}){1,20}"
    r"|[\w.-]{1,40}/(?:[\w.-]{1,40}/){1,20}[\w.-]{0,40}"
    r"|\w[\w-]{0,40}\.(?:com|org|net|io|ai|dev|edu|gov|py|js|ts|java|cpp|cs|php|sh|rb|rs|go|md|txt|json|jsonl|toml|yaml|yml|csv|html|xml|pdf|png|jpg|exe|zip|gz)\b"
    r"|[A-Za-z_]\w{0,40}(?:(?:\.|::|->)[A-Za-z_]\w{0,40}){0,6}\([^()\s]{0,100}\)"
    r"|[A-Za-z]\([^()\n]{0,60}\)"
    r"|d[xyzt]\b"
    r"|(?=\w{0,60}_\w)\w{1,60}"
    r"|[a-z]{1,40}(?:[A-Z][a-z0-9]{1,40}){1,6}\b"
    r"|[\w.()\[\]{}|^+*/'-]{0,60}[=<>^≤≥≠≈](?:[\w.()\[\]{}|^+*/=<>'≤≥≠≈-]{0,60}[\w)\]}|])?"
    r"|[@#]\w{1,60}"
    r"|(?=[A-Za-z-]{0,40}\d)[A-Za-z0-9]{1,60}(?:[-.][A-Za-z0-9]{1,40}){0,6}"
    r")",
    re.ASCII,
)
# A number is read once, from its first digit: read from each of its digits, or given back digit by digit, a long one in
# Arabic digits would take quadratic time. (Those in ASCII are gone by then.)
_TERM = rf"(?:\d++(?:[.,]\d++)*+[a-z]?|[A-Za-z]['′]?|{GAP})"
_FORMULA = re.compile(
    rf"(?<![^\W\d_])(?<!\d)(?<!\d[.,]){_TERM}(?:\s*(?:[=+*/<>≤≥≠≈×÷·−^]|\s[-–]\s|(?<=\d)-)\s*[-−]?{_TERM}(?![^\W\d_]))+"
)
_MARKS = re.compile(r"[*~]{1,3}|(?<!\w)_{1,3}|_{1,3}(?!\w)|^[ \t]*(?:#{1,6}|[-+•]|\d+[.)])[ \t]", re.MULTILINE)
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]")


def prose(text: str) -> str:
    """The natural language in the first `LONGEST` characters of a text, in NFKC; `GAP` is what is cut out of a line."""
    text = text[:LONGEST]
    text = _HIDDEN.sub("", unicodedata.normalize("NFC", text))
    if "`" in text or "~~~" in text:
        text = _FENCE.sub("\n", text)
        text = _INLINE_CODE.sub(GAP, text)
    if "<" in text:
        text = _BLOCKS.sub(" ", text)
    if ":\\" in text:
        text = _WINDOWS_PATH.sub(GAP, text)
    if "$" in text or "\\" in text:
        for pattern in _MATHS:
            text = pattern.sub(GAP, text)
        text = _FORMATTING.sub(" ", text)
        text = _COMMAND.sub(GAP, _SPACING.sub(" ", text))
    text = unicodedata.normalize("NFKC", html.unescape(text))
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "{" in text or "[" in text:
        text = _LINK.sub(r" \1 ", _without_json(text))
    text = without_code(text)
    text = _ADDRESS.sub(GAP, text)
    text = _MARKS.sub(" ", text)
    text = _SYMBOLIC.sub(GAP, text)
    return _FORMULA.sub(GAP, text)


_DATA = re.compile(r"\{\s*\"|\[\s*(?:[\"{\[]|-?\d[\d.]*\s*,)")
_MOST_JSON = 200
_DECODER = json.JSONDecoder()


def _without_json(text: str) -> str:
    """Without JSON objects and lists of data; what failed to parse is not tried again, so that time stays linear."""
    out, at = [], 0
    for _ in range(_MOST_JSON):
        found = _DATA.search(text, at)
        if found is None:
            break
        start = found.start()
        out.append(text[at:start])
        try:
            _, at = _DECODER.raw_decode(text, start)
            out.append(GAP)
        except json.JSONDecodeError as error:
            at = max(start + 1, error.pos)
            out.append(GAP if error.pos > start + 8 else text[start:at])
        except RecursionError:
            return "".join(out)
    return "".join([*out, text[at:]])
