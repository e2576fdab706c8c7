"""Which charts the page has, drawn from the summary's numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from markupsafe import Markup

from afterbase.eval.summarise import Comparison, Evaluation
from afterbase.report.curves import SHARE
from afterbase.report.drawing.scatter import Arrow, Mark, scatter
from afterbase.report.drawing.svg import (
    SMALL,
    Axis,
    Series,
    Size,
    for_both,
    interval,
    interval_axis,
    legend_key,
    line_chart,
    nice_ticks,
)
from afterbase.report.summary import Curve, CurveSeries
from afterbase.report.table import TableRow, label, percent, problems, score, table_rows, tokens

MAX_POINTS = 80


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing, its title, a note on how to read it, and the (key, name) pairs of its legend."""

    title: str
    svg: Markup
    note: str = ""
    legend: Sequence[tuple[Markup, str]] = ()


def ends(evaluations: Sequence[Evaluation]) -> tuple[str, str]:
    """The first and the last checkpoint of the recipe: the base and the final model."""
    return evaluations[0]["checkpoint"], evaluations[-1]["checkpoint"]


def mark(row: TableRow, entry: Evaluation, *, base: str, final: str) -> Mark | None:
    """The point of a row; None where nothing was judged."""
    pass1, low, high, length = (entry[key] for key in ("pass1", "pass1_low", "pass1_high", "mean_tokens"))
    if pass1 is None or low is None or high is None or length is None:
        return None
    kind = {base: "base", final: "final"}.get(row.checkpoint, "middle")
    return Mark(x=length, y=pass1, low=low, high=high, label=row.label, kind=kind, hollow=row.system_prompt)


def length_charts(evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison]) -> list[Chart]:
    """Accuracy against mean answer length, one chart a domain of several points; an arrow for each pair compared."""
    charts = []
    for domain, rows in table_rows(evaluations).items():
        decoding = "sampled" if any(row.sampled for row in rows) else "greedy"
        entries = [(row, row.sampled if decoding == "sampled" else row.greedy) for row in rows]
        base, final = ends(evaluations)
        drawn = [(row, at) for row, entry in entries if entry and (at := mark(row, entry, base=base, final=final))]
        if len(drawn) < 2:
            continue
        places = {(row.checkpoint, row.system_prompt): index for index, (row, _) in enumerate(drawn)}
        pairs = [
            ((c["a"], c["system_prompt_a"]), (c["b"], c["system_prompt_b"]))
            for c in comparisons
            if (c["domain"], c["decoding"]) == (domain, decoding)
        ]
        svg = scatter(
            [at for _, at in drawn],
            [Arrow(places[a], places[b]) for a, b in pairs if a in places and b in places],
            title=f"{domain}: share judged right against mean answer length, {decoding} answers",
            x_label="mean answer length, tokens",
            y_label="judged right",
        )
        most = problems(max(row.main["n"] for row in rows))
        charts.append(Chart(title=domain, svg=svg, note=f"{decoding} answers to {most}"))
    return charts


def thin(points: Sequence[Sequence[float]], limit: int = MAX_POINTS) -> tuple[list[tuple[float, float]], int]:
    """At most `limit` points, each the mean of `width` neighbours; also the width. Values that are not finite go."""
    finite = [(x, y) for x, y in points if isfinite(x) and isfinite(y)]
    width = max(1, -(-len(finite) // limit))
    groups = [finite[i : i + width] for i in range(0, len(finite), width)]
    means = [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
    return means, width


def curve_charts(curves: Sequence[Curve]) -> list[Chart]:
    """One chart a curve, as wide as the page if it is the only one; a curve without a finite point is left out."""
    drawn = []
    for curve in curves:
        lines = [(series, *thin(series["points"])) for series in curve["series"]]
        lines = [(series, points, width) for series, points, width in lines if points]
        if lines:
            drawn.append((curve, lines))
    return [_curve_chart(curve, lines, alone=len(drawn) == 1) for curve, lines in drawn]


def _curve_chart(
    curve: Curve, lines: Sequence[tuple[CurveSeries, list[tuple[float, float]], int]], *, alone: bool
) -> Chart:
    width = max(width for _, _, width in lines)
    names = [series["name"] for series, _, _ in lines]

    def draw(size: Size) -> Markup:
        return line_chart(
            [Series(name=series["name"], points=points) for series, points, _ in lines],
            title=f"{curve['title']}, {curve['unit']}, against {curve['x']}: {', '.join(names)}",
            x_label=curve["x"],
            y_label=curve["unit"],
            share=curve["unit"].startswith(SHARE),
            size=size,
        )

    return Chart(
        title=curve["title"],
        svg=for_both(draw) if alone else draw(SMALL),
        note=f"Each point is the mean of {width} {curve['x']}s." if width > 1 else "",
        legend=[(legend_key(index), name) for index, name in enumerate(names)],
    )


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One comparison, as text and as a bar on the scale that all rows share."""

    a: str
    b: str
    domain: str
    setting: str
    n: int
    difference: str
    range: str
    p: str
    svg: Markup


def p_value(p: float) -> str:
    """Three decimals, and never a zero."""
    return "<\N{NO-BREAK SPACE}0.001" if p < 0.001 else f"{p:.3f}"


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign and a real minus."""
    return f"{100 * share:+.1f}".replace("-", "−")


def difference_axis(comparisons: Sequence[Comparison]) -> Axis:
    """The scale that the intervals of all comparisons share, with zero on it."""
    low = min(0.0, *(c["low"] for c in comparisons))
    high = max(0.0, *(c["high"] for c in comparisons))
    return Axis(label="", ticks=nice_ticks(low, high))


def forest(comparisons: Sequence[Comparison]) -> tuple[list[ForestRow], Markup]:
    """Rows of the comparison table, and the scale that they share."""
    if not comparisons:
        return [], Markup("")
    axis = difference_axis(comparisons)
    rows = []
    for c in comparisons:
        rows.append(
            ForestRow(
                a=label(c["a"], c["system_prompt_a"]),
                b=label(c["b"], c["system_prompt_b"]),
                domain=c["domain"],
                setting=c["decoding"],
                n=c["n"],
                difference=points(c["difference"]),
                range=f"{points(c['low'])} to {points(c['high'])}",
                p=p_value(c["p"]),
                svg=interval(c["low"], c["difference"], c["high"], axis=axis),
            )
        )
    return rows, interval_axis(axis)


@dataclass(frozen=True, kw_only=True)
class ScoreLine:
    """One row of the final table, as text."""

    label: str
    kind: str
    greedy: tuple[str, str]
    sampled: tuple[str, str]
    maj8: str
    tokens: str
    tokens_right: str
    tokens_wrong: str
    truncated: str
    format: str
    n: int
    failed: int


def score_lines(evaluations: Sequence[Evaluation]) -> dict[str, list[ScoreLine]]:
    """The final table by domain."""
    if not evaluations:
        return {}
    base, final = ends(evaluations)
    return {
        domain: [
            ScoreLine(
                label=row.label,
                kind={base: "base", final: "final"}.get(row.checkpoint, "middle"),
                greedy=score(row.greedy),
                sampled=score(row.sampled),
                maj8=percent(row.main["maj8"]),
                tokens=tokens(row.main["mean_tokens"]),
                tokens_right=tokens(row.main["mean_tokens_right"]),
                tokens_wrong=tokens(row.main["mean_tokens_wrong"]),
                truncated=percent(row.main["truncated_share"]),
                format=percent(row.main["format_share"]),
                n=row.main["n"],
                failed=sum(entry["failed"] for entry in (row.greedy, row.sampled) if entry),
            )
            for row in rows
        ]
        for domain, rows in table_rows(evaluations).items()
    }
