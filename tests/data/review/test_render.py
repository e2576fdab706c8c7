"""What a hostile sample may become: text, and never anything that acts."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.review.render import render

ALLOWED_ATTRIBUTES = {
    "href", "rel", "start", "class", "display", "stretchy", "fence", "form", "movablelimits", "mathvariant", "width",
    "columnalign", "displaystyle", "scriptlevel", "linethickness",
}  # fmt: skip
ACTIVE = {
    "script",
    "style",
    "img",
    "iframe",
    "object",
    "embed",
    "link",
    "svg",
    "form",
    "input",
    "button",
    "base",
    "meta",
}
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "<javascript:alert(1)>",
    "![x](https://tracker.example/pixel.png)",
    '![x" onerror="alert(1)](x)',
    '[x](https://a.example "title\\" onmouseover=\\"alert(1)")',
    '```html" onclick="alert(1)\n<script>alert(1)</script>\n```',
    "```<script>\nx\n```",
    r"$\text{<script>alert(1)</script>}$",
    r"$\text{</mtext></math><img src=x onerror=alert(1)>}$",
    r"$\href{javascript:alert(1)}{x}$",
    r"$\style{position:fixed}{x}$ $\class{x}{y}$ $\unicode{x3c}$ $\color{red;background:url(//x)}{y}$",
    '<a hx-get="/sign-out" hx-trigger="load">x</a>',
    '<div data-hx-post="/chat/undo" hx-on:load="alert(1)">x</div>',
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<!--><script>alert(1)</script>-->",
    "</div></article></main><form action=/sign-out method=post><button>Accept</button></form>",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "| a |\n|---|\n| <script>alert(1)</script> |",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62;",
    "\u202egnirts \x00\x1b[31m \u2066",
]


class Found(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs


def refuse_anything_active(html: str) -> None:
    found = Found(html)
    assert not ACTIVE & set(found.elements)
    assert {name for name, _ in found.attributes} <= ALLOWED_ATTRIBUTES
    assert all(re.match(r"(https?|mailto):", value or "") for name, value in found.attributes if name == "href")
    classes = [value or "" for name, value in found.attributes if name == "class"]
    assert all(re.fullmatch(r"hl-\w{1,4}|formula|image|plain", value) for value in classes)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markup_is_harmless(text):
    refuse_anything_active(render(text))
    refuse_anything_active(render(f"> - before {text} after\n\n{text}"))


@given(st.lists(st.sampled_from([*HOSTILE, "$", "`", "\n", "[", "](", "|", "\\[", "\\]", "*", "<", " "]), max_size=12))
def test_no_mixture_of_markup_gets_through(parts):
    refuse_anything_active(render("".join(parts)))


def test_markup_of_the_sample_is_shown_as_text():
    assert render("<b>bold</b>") == "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n"
    assert "{{ 7 * 7 }}" in render("{{ 7 * 7 }}")
    assert "[U+202E]" in render("\u202e")


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("$x^2$", 1),
        ("It costs $5 and $6.", 0),
        ("From $5 to $7 or $ x $", 0),
        (r"so \(x\) and \[y\] and $$z$$", 3),
        ("\\[\na\n+ b\n- c\n= d\n\\]", 1),
        ("text\n$$\nx = 1\n$$\nmore", 1),
        ("`$x$` and \\$x$", 0),
        ("- item $x$\n- $$\n  y\n  $$", 2),
        ("$$x", 0),
        ("\\[", 0),
        ("\\[ not closed\n\nnext", 0),
        ("```\n$x$\n```", 0),
    ],
)
def test_formulas_are_found(text, formulas):
    assert render(text).count("<math") == formulas


def test_markup_in_a_formula_is_text():
    html = render(r"$\text{<img src=x onerror=alert(1)> & a<b}$ after")
    assert "<mtext>&lt;img" in html.replace("\xa0", " ")
    assert html.endswith("</math> after</p>\n")
    assert render("$a < b$").count("&lt;") == 1


def test_a_formula_becomes_mathml():
    html = render(r"$\frac{a}{b}$")
    assert '<math display="inline">' in html
    assert "<mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>" in html
    assert '<math display="block">' in render(r"$$\sum_{i=1}^n i$$")


@pytest.mark.parametrize("source", [r"\frac{", "{" * 900, r"\begin{matrix} a", "x" * 5000])
def test_what_is_no_formula_is_shown_as_it_is(source):
    html = render(f"$${source}$$")
    assert "<math" not in html or "<code" not in html
    assert source[:8] in html


def test_code_tables_and_links():
    html = render("```python\ndef f(x): return x < 1\n```")
    assert '<span class="hl-k">def</span>' in html
    assert "&lt;" in html
    assert "<pre><code>a &amp; b\n</code></pre>" in render("```unknown\na & b\n```")
    assert render("| a |\n|---|\n| 1 |").count("<td>") == 1
    link = render("[my bank](https://evil.example/x)")
    assert 'rel="noopener noreferrer nofollow"' in link
    assert "<code>https://evil.example/x</code>" in link, "a link shows where it leads"
    assert "image: cat (https://tracker.example/cat.png)" in render("![cat](https://tracker.example/cat.png)")


@pytest.mark.parametrize("text", ["> " * 60 + "hidden", "[a]: https://a.example 'hidden'\n\nb", "- " * 60 + "hidden"])
def test_nothing_is_hidden_from_the_reviewer(text):
    assert "hidden" in render(text)


def test_a_very_long_message_is_plain_text():
    html = render("**a** <b> " * 20_000)
    assert html.startswith('<pre class="plain">**a** &lt;b&gt;')


@pytest.mark.parametrize(
    "text", ["[" * 30_000, "![" * 15_000, "$a " * 10_000, "\\(" * 15_000, "*_" * 15_000, "> " * 15_000, "**a" * 9_000]
)
def test_endless_openings_end(text):
    assert len(render(text)) > 1000
