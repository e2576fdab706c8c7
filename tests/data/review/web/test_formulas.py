import re

import pytest

from afterbase.data.review.web.render import render


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


@pytest.mark.parametrize(
    "source",
    [
        r"\phantom{hidden}",
        r"x % hidden",
        r"x \\% hidden",
        r"\color{hidden}{x}",
        r"\href{hidden}{x}",
        r"\hspace{hidden}x",
        r"\class{hidden}{x}",
        r"\newcommand{\hidden}{x}",
        r"\mathchoice{a}{b}{hidden}{d}",
        r"\rule{hidden}{1em}",
    ],
)
def test_what_a_formula_would_leave_out_is_shown_as_source(source):
    assert f'<code class="formula">{source}</code>' in render(f"${source}$")


def test_a_percent_sign_is_no_comment():
    assert "<mi>%</mi>" in render(r"$5\% x$")


def test_an_entity_in_a_formula_turns_no_text_around():
    html = render(r"$\text{&#x202e;abc}$")
    assert "\u202e" not in html
    assert "[U+202E]" in html


@pytest.mark.parametrize("text", ["\\[a\n" * 6000, "$$a\n" * 7000, "$a" * 15_000])
def test_openings_that_are_never_closed_are_text(text):
    html = render(text)
    assert html.count("a") >= text.count("a")


def test_no_line_begins_with_the_stop_behind_a_formula():
    assert re.search(r'<span class="tight"><math.*</math>\.</span> Next, <math', render("$x$. Next, $y$ and"))
    assert "</math>.</span>" in render("\\(x\\).")
    assert '<a href="https://a.example"' in render("[$x$](https://a.example)"), "and brackets stay what they are"
