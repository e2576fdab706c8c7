"""Which charts are drawn, and how numbers are thinned and written for them."""

import math

from hypothesis import given
from hypothesis import strategies as st

from afterbase.report.charts import curve_charts, forest, length_charts, p_value, points, score_lines, thin
from afterbase.report.summary import Curve, Summary


def test_one_length_chart_a_domain(summary: Summary) -> None:
    charts = length_charts(summary["evaluations"], summary["comparisons"])
    assert [chart.title for chart in charts] == ["arithmetic", "code", "logic", "chat"]
    assert charts[0].svg.count("<circle") == 8
    assert charts[0].svg.count('class="mark hollow') == 2
    assert charts[0].svg.count('class="mark final') == 1
    assert 3 <= charts[0].svg.count('class="arrow"') <= 5  # five pairs; points that nearly touch get none
    assert 'class="arrow"' not in charts[-1].svg


def test_a_domain_that_only_the_base_answered_has_no_chart(summary: Summary) -> None:
    early = [e for e in summary["evaluations"] if e["checkpoint"] == "base" or e["domain"] == "logic"]
    assert [chart.title for chart in length_charts(early, [])] == ["logic"]


def test_curves_lose_what_is_not_finite_and_then_what_is_empty() -> None:
    bad = [[0, float("nan")], [1, float("inf")]]
    good = [[0, 1.0], [1, 2.0]]
    charts = curve_charts(
        [
            {"title": "gone", "x": "step", "unit": "", "series": [{"name": "loss", "points": bad}]},
            {
                "title": "half",
                "x": "step",
                "unit": "nats",
                "series": [{"name": n, "points": p} for n, p in (("a", bad), ("b", good))],
            },
        ]
    )
    assert [(chart.title, [name for _, name in chart.legend]) for chart in charts] == [("half", ["b"])]
    assert ">nats</text>" in charts[0].svg
    assert charts[0].note == ""


def test_the_only_curve_is_as_wide_as_the_page_and_says_what_a_point_is() -> None:
    points = [[step, 0.25] for step in range(1, 201)]
    curve = Curve(title="solved", x="step", unit="share of answers", series=[{"name": "problems", "points": points}])
    [alone] = curve_charts([curve])
    assert alone.svg.count("<svg") == 2
    assert alone.note == "Each point is the mean of 3 steps."
    assert ">0%</text>" in alone.svg
    beside = curve_charts([curve, curve])
    assert [chart.svg.count("<svg") for chart in beside] == [1, 1]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=400))
def test_thinning_keeps_the_mean_and_the_limit(values: list[float]) -> None:
    thinned, width = thin(list(enumerate(values)), limit=50)
    assert len(thinned) == math.ceil(len(values) / width) <= 50
    if len(values) % width == 0:
        assert math.isclose(sum(y for _, y in thinned) * width, sum(values), abs_tol=1e-9)


def test_forest_rows_are_the_comparisons(summary: Summary) -> None:
    rows, scale = forest(summary["comparisons"])
    assert [(row.domain, row.n) for row in rows] == [(c["domain"], c["n"]) for c in summary["comparisons"]]
    assert [row.a for row in rows if row.b == "expert"][-1] == "teacher only + prompt"
    assert ">0</text>" in scale
    assert forest([]) == ([], "")


def test_the_final_row_is_marked(summary: Summary) -> None:
    lines = score_lines(summary["evaluations"])["logic"]
    assert [line.kind for line in lines] == ["base", *["middle"] * 6, "final"]
    assert score_lines([]) == {}


def test_numbers_as_text() -> None:
    assert (points(-0.0123), points(0.5)) == ("−1.2", "+50.0")
    assert (p_value(0.0002), p_value(0.04321)) == ("<\u00a00.001", "0.043")
