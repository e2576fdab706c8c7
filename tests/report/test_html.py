"""The page is well formed, fetches nothing, and gives a hostile answer no hold."""

from html.parser import HTMLParser

import pytest

from afterbase.report.html import duration, render
from afterbase.report.summary import Summary

VOID = {"meta", "br"}
# Elements of HTML or SVG that could load or run something: none of them belongs on the page.
ACTIVE = {"script", "img", "iframe", "object", "embed", "link", "image", "use", "foreignobject", "form", "base"}


class Page(HTMLParser):
    """Checks that every element is closed in turn, and collects elements, attributes, ids and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.shown = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.shown += data


@pytest.fixture(scope="module")
def html(summary: Summary) -> str:
    return render(summary)


def test_it_is_the_same_page_every_time(summary: Summary, html: str) -> None:
    assert render(summary) == html


def test_well_formed_with_every_section_in_order(html: str) -> None:
    page = Page(html)
    sections = ["results", "length", "comparisons", "learning", "model", "data", "examples", "mask", "configuration"]
    ids = [value for name, value in page.attributes if name == "id"]
    assert ids == [*sections, "lineage", "notes"]
    targets = {value for name, value in page.attributes if name == "href"}
    assert targets <= {f"#{section}" for section in ids}


def test_nothing_is_fetched_and_nothing_runs(html: str) -> None:
    page = Page(html)
    assert ACTIVE.isdisjoint(page.tags)
    names = {name for name, _ in page.attributes}
    assert {"src", "srcset", "data", "action", "xlink:href", "poster"}.isdisjoint(names)
    assert not [name for name in names if name.startswith("on")]
    assert not [value for _, value in page.attributes if value and "://" in value]
    css = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in css
    assert "@import" not in css
    assert "default-src 'none'" in html


def test_a_hostile_answer_is_shown_as_text(html: str) -> None:
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>alert(1)</script>" in Page(html).shown


def test_control_and_reordering_characters_are_made_visible(html: str) -> None:
    assert "def def ␛[31m [U+202E] the" in html
    assert html.encode("utf-8")


def test_the_loss_mask_marks_what_is_trained(html: str) -> None:
    assert "<mark>Hello! Nice to meet you.&lt;|end|&gt;</mark>" in html
    assert "<mark>&lt;|user|&gt;" not in html


def test_every_drawing_has_a_name(html: str) -> None:
    page = Page(html)
    drawings = page.tags.count("svg") - html.count('class="key"')
    assert drawings == html.count('role="img"') == html.count("<title>") - 1 > 10


def test_a_run_that_was_only_begun(summary: Summary) -> None:
    begun: Summary = {
        **summary,
        "evaluations": [],
        "comparisons": [],
        "curves": [],
        "flow": [],
        "examples": [],
        "training_samples": [],
        "notes": [],
        "model": {"parameters": 1, "expert_load": [], "mtp_acceptance": None},
        "model_folder": None,
        "unfinished": "the disk was full",
    }
    page = Page(render(begun))
    assert [value for name, value in page.attributes if name == "id"] == ["configuration", "lineage"]
    assert "stopped early: the disk was full" in page.shown
    assert "evaluated no domain" not in page.shown, "a run that evaluates nothing needs no word on it"


def test_a_checkpoint_without_a_single_verdict(summary: Summary) -> None:
    blank = {"pass1": None, "pass1_low": None, "pass1_high": None, "mean_tokens": None, "n": 0}
    emptied = [{**e, **blank} if e["checkpoint"] == "sft" else e for e in summary["evaluations"]]
    Page(render({**summary, "evaluations": emptied}))  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.44, "0.4 s"), (12, "12 s"), (185, "3 min 05 s"), (7_830, "2 h 10 min"), (59.7, "1 min 00 s")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words
