"""A message of a sample as HTML that can do nothing: Markdown, code with its syntax, mathematics as MathML.

Samples are untrusted. Raw HTML in them is text; images are not fetched; links show where they lead; and whatever comes
out is cut down to a short list of elements by nh3, whatever went in. The page's own policy forbids scripts besides.
"""

import re
from collections.abc import Sequence
from html import escape, unescape
from typing import Any
from xml.etree import ElementTree

import nh3
from latex2mathml.converter import convert_to_element
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from afterbase.core.visible import visible

_LONGEST = 30_000  # characters; beyond, a message is shown as plain text
_LONGEST_FORMULA = 2_000
_LONGEST_CODE = 20_000
_DEEPEST = 50  # lists in quotes in lists ...
_ELEMENTS = {
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "blockquote", "ul", "ol", "li",
    "pre", "code", "span", "a", "table", "thead", "tbody", "tr", "th", "td", "math", "mrow", "mi", "mn", "mo",
    "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover",
    "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom",
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
_CLASS = re.compile(r"hl-[a-z0-9]{1,4}|formula|image|plain")
_CLOSING = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}
_highlighter = HtmlFormatter(nowrap=True, classprefix="hl-")


def render(text: str) -> str:
    """The message as safe HTML; control characters and marks that reorder text are made visible."""
    shown = visible(text.replace("\r\n", "\n"))
    plain = f'<pre class="plain">{escape(shown)}</pre>'
    if len(shown) > _LONGEST:
        return plain
    tokens, environment = _markdown.parse(shown), {}
    if any(token.level >= _DEEPEST - 1 for block in tokens for token in (block, *(block.children or ()))):
        return plain  # the parser drops what lies deeper, and nobody would see it
    return nh3.clean(
        _markdown.renderer.render(tokens, _markdown.options, environment),
        tags=_ELEMENTS,
        attributes=_ATTRIBUTES,
        attribute_filter=_known_class,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _known_class(_: str, attribute: str, value: str) -> str | None:
    return value if attribute != "class" or _CLASS.fullmatch(value) else None


def _formula(source: str, *, display: bool) -> str:
    """MathML, or the source where it is none that we can read."""
    try:
        if len(source) > _LONGEST_FORMULA:
            raise ValueError
        element = convert_to_element(source, display="block" if display else "inline")
        for node in element.iter():  # symbols come as entities, and text as it stands in the sample
            node.text = unescape(node.text) if node.text else node.text
        return ElementTree.tostring(element, encoding="unicode")
    except Exception:  # hostile or unusual LaTeX fails in many ways, and the source is always a way to show it
        return f'<code class="formula">{escape(source)}</code>'


def _inline_math(state: StateInline, silent: bool) -> bool:
    """`$x$` (no space inside, no digit after, as in Pandoc), `$$x$$`, `\\(x\\)` and `\\[x\\]`."""
    source, at = state.src, state.pos
    opening = source[at : at + 2] if source[at : at + 2] in _CLOSING else source[at]
    closing = _CLOSING.get(opening, opening)
    if opening not in {"$", *_CLOSING}:
        return False
    begin = at + len(opening)
    end = source.find(closing, begin, begin + _LONGEST_FORMULA)
    if end <= begin:
        return False
    content, after = source[begin:end], source[end + len(closing) : end + len(closing) + 1]
    if opening == "$" and (content[0].isspace() or content[-1].isspace() or after.isdigit()):
        return False
    if not silent:
        token = state.push("math", "math", 0)
        token.content, token.meta = content, {"display": opening in ("$$", r"\[")}
    state.pos = end + len(closing)
    return True


def _block_math(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A paragraph of its own from `$$` or `\\[` to where that ends a line: nothing in it is a list or a heading."""
    if state.is_code_block(start):
        return False
    first = state.bMarks[start] + state.tShift[start]
    closing = _CLOSING.get(state.src[first : first + 2])
    if closing is None or closing == r"\)":
        return False
    for line in range(start, end):
        if state.isEmpty(line) or state.eMarks[line] - first > _LONGEST_FORMULA:
            return False
        content = state.src[first + 2 : state.eMarks[line]].rstrip()
        if content.endswith(closing) and content != closing[:-1]:
            if not silent:
                token = state.push("math", "math", 0)
                token.content, token.meta = content.removesuffix(closing), {"display": True}
                token.block, token.map = True, [start, line + 1]
            state.line = line + 1
            return True
    return False


def _show_math(_: RendererHTML, tokens: Sequence[Token], at: int, *_rest: Any) -> str:
    return _formula(tokens[at].content, display=tokens[at].meta["display"])


def _show_code(_: RendererHTML, tokens: Sequence[Token], at: int, *_rest: Any) -> str:
    code, language = tokens[at].content, tokens[at].info.strip().split(" ")[0]
    try:
        if len(code) > _LONGEST_CODE:
            raise ClassNotFound
        shown = highlight(code, get_lexer_by_name(language), _highlighter)
    except ClassNotFound:
        shown = escape(code)
    return f"<pre><code>{shown}</code></pre>\n"


def _show_image(_: RendererHTML, tokens: Sequence[Token], at: int, *_rest: Any) -> str:
    """Where an image would be: fetching it would tell its owner who reads what."""
    source = str(tokens[at].attrs.get("src", ""))
    return f'<span class="image">image: {escape(tokens[at].content)} ({escape(source)})</span>'


def _show_link_end(_: RendererHTML, tokens: Sequence[Token], at: int, *_rest: Any) -> str:
    """The text of a link may promise anything, so that its target stands behind it."""
    begin = next(i for i in range(at - 1, -1, -1) if tokens[i].type == "link_open")  # links do not nest
    target = str(tokens[begin].attrs.get("href", ""))
    text = "".join(token.content for token in tokens[begin:at])
    return "</a>" if text == target else f"</a> <code>{escape(target)}</code>"


def _parser() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": _DEEPEST})
    # Without definitions of references, which are not shown: a reviewer has to see all that is trained on.
    markdown.enable(["table", "strikethrough"]).disable("reference")
    markdown.inline.ruler.before("escape", "math", _inline_math)
    # Inside a paragraph or a list, too: mathematics need not have an empty line before it.
    markdown.block.ruler.before("fence", "math", _block_math, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    for name, show in (
        ("math", _show_math), ("fence", _show_code), ("code_block", _show_code), ("image", _show_image),
        ("link_close", _show_link_end),
    ):  # fmt: skip
        markdown.add_render_rule(name, show)
    return markdown


_markdown = _parser()
