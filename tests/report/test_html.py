"""The page is well formed, fetches nothing, and gives a hostile answer no hold."""

from html.parser import HTMLParser
from itertools import pairwise

import pytest

from afterbase.report.headline import changes, whole_percent
from afterbase.report.html import card, duration, moment, render
from afterbase.report.summary import Measure, Summary

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
    sections = ["picture", "gains", "answers"]
    sections += ["results", "length", "comparisons", "learning", "model", "data", "examples", "mask", "configuration"]
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


def test_the_first_screen_has_the_numbers_of_the_run(summary: Summary, html: str) -> None:
    first = Page(html[: html.index('id="results"')] + "></section></main></body></html>").shown
    for change in changes(summary["evaluations"]):
        assert f"{whole_percent(change.before)} → {whole_percent(change.after)}" in first
        assert f"right answers to {change.n} problems" in first
    for comparison in summary["comparisons"]:
        if comparison["domain"] == "all" and comparison["a"] in ("base", "SFT", "expert SFT"):
            assert f"{comparison['a']} → {comparison['b']}" in first
            assert f"{100 * comparison['difference']:+.1f}" in first
    assert "119 problems (first seed), 74 turned from wrong to right and 2 from right to wrong" in first
    assert "17}" in first


def test_a_table_of_many_columns_scrolls_alone(html: str) -> None:
    for before, table in pairwise(html.split("<table")):
        if table[: table.index("</thead>")].count("<th ") > 3:
            assert before.rstrip().rsplit("<", 1)[1].startswith('div class="scroll" tabindex="0" role="region"')


def test_headings_go_down_one_level_at_a_time(html: str) -> None:
    levels = [int(tag[1]) for tag in Page(html).tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_an_older_summary_has_a_page_without_the_newer_parts(summary: Summary) -> None:
    newer = ("turned", "measures", "model_folder", "unfinished")
    older = {name: value for name, value in summary.items() if name not in newer}
    page = Page(render(older))  # type: ignore[arg-type]
    assert "turned from wrong to right" not in page.shown
    assert "quickstart" in page.shown


def test_a_training_alone_has_its_numbers_curves_and_no_empty_section(summary: Summary) -> None:
    measure: Measure = {
        "name": "accuracy on 20 pairs not trained on", "unit": "share of pairs", "before": 0.5, "after": 0.75,
        "low": 0.51, "high": 0.91, "n": 20, "when": "after step 24 and of the final model",
    }  # fmt: skip
    alone: Summary = {
        **summary,
        "stages": [{**summary["stages"][0], "stage": "dpo"}],
        "evaluations": [],
        "comparisons": [],
        "curves": summary["curves"][:1],
        "flow": [],
        "examples": [],
        "turned": [],
        "measures": [measure],
        "training_samples": [],
    }
    html = render(alone)
    page = Page(html)
    assert [value for name, value in page.attributes if name == "id"] == [
        "learning", "model", "configuration", "lineage", "notes",
    ]  # fmt: skip
    for words in ("Training on preferences (DPO)", "50% → 75%", "95% interval 51% to 91%", "share of pairs"):
        assert words in page.shown
    assert card({**measure, "before": None}).before == ""


@pytest.mark.parametrize(
    ("created", "shown"),
    [("2026-02-03T15:05:09+01:00", "2026-02-03 14:05 UTC"), ("yesterday", "yesterday")],
)
def test_moment(created: str, shown: str) -> None:
    assert moment(created) == shown


def test_a_run_that_was_only_begun(summary: Summary) -> None:
    begun: Summary = {
        **summary,
        "evaluations": [],
        "comparisons": [],
        "curves": [],
        "flow": [],
        "examples": [],
        "turned": [],
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
