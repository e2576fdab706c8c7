"""A message of a sample as HTML that can do nothing: Markdown, code with its syntax, mathematics as MathML.

Samples are untrusted. Raw HTML in them is text; images are not fetched; links show where they lead; and whatever comes
out is cut down to a short list of elements by nh3, whatever went in. The page's own policy forbids scripts besides.
"""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from afterbase.core.sanitize import sanitized
from afterbase.data.review.web.formulas import add_mathematics

_LONGEST = 30_000  # characters; beyond, a message is shown as plain text
_MOST_CODE = 5_000  # characters of a message's code that get colours: many of these lexers are quadratic
_LANGUAGES = {
    "bash", "c", "c#", "c++", "cpp", "csharp", "css", "diff", "go", "haskell", "html", "java", "javascript", "js",
    "json", "julia", "kotlin", "php", "py", "python", "python3", "r", "rb", "ruby", "rs", "rust", "scala", "sh",
    "sql", "swift", "toml", "ts", "typescript", "xml", "yaml",
}  # fmt: skip
_DEEPEST = 50  # lists in quotes in lists ...
_ELEMENTS = {
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "blockquote", "ul", "ol", "li",
    "pre", "code", "span", "a", "table", "thead", "tbody", "tr", "th", "td", "math", "mrow", "mi", "mn", "mo",
    "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover",
    "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded",
}  # fmt: skip
_ATTRIBUTES = {
    "*": set(),
    "a": {"href"},
    "ol": {"start"},
    "code": {"class"},
    "pre": {"class"},
    "span": {"class"},
    "math": {"display"},
    "mo": {"stretchy", "fence", "form", "movablelimits"},
    "mi": {"mathvariant"},
    "mspace": {"width"},
    "mtd": {"columnalign"},
    "mtable": {"displaystyle"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "mfrac": {"linethickness"},
}
_CLASS = re.compile(r"hl-[a-z0-9]{1,4}|formula|image|plain|tight")
_WIDTH = re.compile(r"-?[0-3]?(\.\d+)?(em|ex)")  # of a space: wider ones push a formula off the page
_highlighter = HtmlFormatter(nowrap=True, classprefix="hl-")


def render(text: str, *, breaks: bool = True) -> str:
    """The message as safe HTML; control characters and marks that reorder text are made visible.

    With `breaks` a line of the text ends where it does there, as answers mean it.
    """
    shown = sanitized(text.replace("\r\n", "\n"))
    plain = f'<pre class="plain">{escape(shown)}</pre>'
    if len(shown) > _LONGEST:
        return plain
    markdown = _parsers[breaks]
    tokens, environment = markdown.parse(shown), {}
    if any(token.level >= _DEEPEST - 1 for block in tokens for token in (block, *(block.children or ()))):
        return plain  # the parser drops what lies deeper, and nobody would see it
    if _drops_cells(tokens, shown.split("\n")):
        return plain
    return nh3.clean(
        markdown.renderer.render(tokens, markdown.options, environment),
        tags=_ELEMENTS,
        attributes=_ATTRIBUTES,
        attribute_filter=_harmless,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _harmless(_: str, attribute: str, value: str) -> str | None:
    allowed = {"class": _CLASS, "width": _WIDTH}.get(attribute)
    return value if allowed is None or allowed.fullmatch(value) else None


def _drops_cells(tokens: Sequence[Token], lines: Sequence[str]) -> bool:
    """Whether a row of a table holds more cells than its head, of which the parser keeps as many as the head has."""
    line, at = "", 0
    for i, token in enumerate(tokens):
        if token.type == "tr_open" and token.map:
            line, at = lines[token.map[0]].replace(r"\|", "|"), 0
        elif token.type in ("th_open", "td_open"):
            content = tokens[i + 1].content
            at = max(at, line.find(content, at) + len(content))
        elif token.type == "tr_close" and re.search(r"[^\s|]", line[at:]):
            return True
    return False


def _show_code(_: RendererHTML, tokens: Sequence[Token], at: int, *_rest: Any) -> str:
    code, info, message = tokens[at].content, tokens[at].info.strip(), _rest[-1]
    language = info.lower()
    message["code"] = message.get("code", 0) + len(code)
    coloured = language in _LANGUAGES and message["code"] <= _MOST_CODE
    shown = highlight(code, get_lexer_by_name(language), _highlighter) if coloured else escape(code)
    # Whatever is no known language may be anything, and is trained on as well.
    said = "" if not info or language in _LANGUAGES else f'<span class="image">{escape(sanitized(info))}</span>\n'
    return f"<pre><code>{said}{shown}</code></pre>\n"


def _show_image(_: RendererHTML, tokens: Sequence[Token], at: int, *_rest: Any) -> str:
    """Where an image would be: fetching it would tell its owner who reads what."""
    source = str(tokens[at].attrs.get("src", ""))
    return f'<span class="image">image: {escape(tokens[at].content)} ({escape(source)}){_title(tokens[at])}</span>'


def _show_text(_: RendererHTML, tokens: Sequence[Token], at: int, *_rest: Any) -> str:
    """Visible once more: `&#x202e;` was text that could be seen until the parser made a character of it."""
    return escape(sanitized(tokens[at].content))


def _title(token: Token) -> str:
    """What a browser would show to a mouse alone."""
    title = sanitized(str(token.attrs.get("title") or ""))
    return f" \u201c{escape(title)}\u201d" if title else ""


def _show_link_end(_: RendererHTML, tokens: Sequence[Token], at: int, *_rest: Any) -> str:
    """The text of a link may promise anything, so that its target stands behind it."""
    begin = next(i for i in range(at - 1, -1, -1) if tokens[i].type == "link_open")  # links do not nest
    target = str(tokens[begin].attrs.get("href", ""))
    text = "".join(token.content for token in tokens[begin:at])
    leads = "" if text == target else f" <code>{escape(target)}</code>"
    return f"</a>{leads}{_title(tokens[begin])}"


def _parser(*, breaks: bool) -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": breaks, "maxNesting": _DEEPEST})
    # Without definitions of references, which are not shown: a reviewer has to see all that is trained on.
    markdown.enable(["table", "strikethrough"]).disable("reference")
    add_mathematics(markdown)
    for name, show in (
        ("fence", _show_code), ("code_block", _show_code), ("image", _show_image),
        ("link_close", _show_link_end), ("text", _show_text),
    ):  # fmt: skip
        markdown.add_render_rule(name, show)
    return markdown


_parsers = {breaks: _parser(breaks=breaks) for breaks in (True, False)}
