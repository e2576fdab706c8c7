"""What a hostile sample may become: text, and never anything that acts."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.review.web.render import render

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
    assert all(re.fullmatch(r"hl-\w{1,4}|formula|image|plain|tight", value) for value in classes)


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


def test_code_tables_and_links():
    html = render("```python\ndef f(x): return x < 1\n```")
    assert '<span class="hl-k">def</span>' in html
    assert "&lt;" in html
    assert "<pre><code>a &amp; b\n</code></pre>" in render("```\na & b\n```")
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


@pytest.mark.parametrize(
    "text",
    [
        '[a](https://a.example "hidden")',
        '![a](b "hidden")',
        "```python hidden\nx\n```",
        "```hidden\nx\n```",
        "| a |\n|---|\n| 1 | hidden |",
        "> | a | b |\n> |---|---|\n> | 1 | 2 | hidden |",
        "| a |\n|---|\n| 1 \\| 2 | hidden |",
    ],
)
def test_what_markdown_leaves_out_is_shown(text):
    assert "hidden" in re.sub("<[^>]*>", "", render(text))


def test_rows_of_a_table_that_fit_are_a_table():
    for text in (
        "| a | b |\n|---|---|\n| 1 \\| 2 | `x` |\n| 3 |",
        "> a | b\n> --|--\n> 1 | 1\n",
        "- | a |\n  |--|\n  | |",
    ):
        assert "<table>" in render(text), text


def test_an_entity_turns_no_text_around():
    html = render("&#x202e;abc &ZeroWidthSpace; [x](https://a.example/&#x202e; '&#x202e;') ![&#x202e;](b '&#x202e;')")
    assert not set("\u202e\u200b") & set(html)
    assert html.count("[U+202E]") >= 2


def test_code_of_any_length_and_language_is_shown_whole():
    for language, code in (("perl", "s{" * 9000), ("java", "a " * 9000), ("python", "f'{" * 5000)):
        html = render(f"```{language}\n{code}\n```")
        assert code.strip() in unescape(re.sub("<[^>]*>", "", html))


def test_colours_end_where_a_message_has_much_code():
    block = "```python\n" + "def f(): pass\n" * 200 + "```\n"
    assert '<span class="hl-k">def</span>' in render(block)
    assert render(block * 3).count('<span class="hl-k">def</span>') == 200


def test_lines_end_where_they_are_asked_to():
    assert "<br" in render("a\nb")
    assert render("a\nb", breaks=False) == "<p>a\nb</p>\n"
