"""Mathematics in Markdown: `$x$`, `$$x$$`, `\\(x\\)` and `\\[x\\]` become MathML, or stay the source that they are."""

import re
from collections.abc import Sequence
from html import escape, unescape
from typing import Any
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from afterbase.core.sanitize import sanitized

_LONGEST = 2_000
_CLOSING = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}
_CLOSED = {opening: re.compile(re.escape(closing) + r"[ \t]*$", re.M) for opening, closing in _CLOSING.items()}
# What our LaTeX reader leaves out: comments, arguments of commands that it does not draw, alternatives.
_LEAVES_OUT = re.compile(
    r"(?<!\\)(?:\\\\)*%|\\(?:[hv]?phantom|hspace|[hm]?skip|m?kern|rule|color|textcolor|colorbox|fcolorbox|href|class"
    r"|cssId|style|(?:re)?newcommand|def|mathchoice|label|unicode|require)(?![a-zA-Z])"
)


def add_mathematics(markdown: MarkdownIt) -> None:
    """Make a parser read formulas and its renderer show them."""
    markdown.inline.ruler.before("escape", "math", _inline_math)
    # Inside a paragraph or a list, too: mathematics need not have an empty line before it.
    markdown.block.ruler.before("fence", "math", _block_math, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    markdown.add_render_rule("math", _show_math)


def formula(source: str, *, display: bool) -> str:
    """MathML, or the source where it is none that we can read."""
    try:
        if len(source) > _LONGEST or _LEAVES_OUT.search(source):
            raise ValueError
        element = convert_to_element(source, display="block" if display else "inline")
        for node in element.iter():  # symbols come as entities, and text as it stands in the sample
            node.text = sanitized(unescape(node.text)) if node.text else node.text
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
    end = source.find(closing, begin, begin + _LONGEST)
    if end <= begin:
        return False
    content, after = source[begin:end], source[end + len(closing) : end + len(closing) + 1]
    if opening == "$" and (content[0].isspace() or content[-1].isspace() or after.isdigit()):
        return False
    end += len(closing)
    behind = len(source) - len(source[end:].lstrip(".,;:?"))  # a browser would begin a line with such a stop
    if not silent:
        token = state.push("math", "math", 0)
        token.content, token.meta = content, {"display": opening in ("$$", r"\["), "stops": source[end:behind]}
    state.pos = behind
    return True


def _block_math(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A paragraph of its own from `$$` or `\\[` to where that ends a line: nothing in it is a list or a heading."""
    if state.is_code_block(start):
        return False
    first = state.bMarks[start] + state.tShift[start]
    closing = _CLOSING.get(state.src[first : first + 2])
    if closing is None or closing == r"\)":
        return False
    if _CLOSED[state.src[first : first + 2]].search(state.src, first + 2, first + _LONGEST) is None:
        return False  # to look at once, and not line by line for each of many that are never closed
    for line in range(start, end):
        if state.isEmpty(line) or state.eMarks[line] - first > _LONGEST:
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
    content, meta = tokens[at].content, tokens[at].meta
    shown, stops = formula(content, display=meta["display"]), meta.get("stops")
    return f'<span class="tight">{shown}{stops}</span>' if stops else shown
