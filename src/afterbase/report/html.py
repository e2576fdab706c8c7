"""One self-contained HTML page a run: no script, no font, no request; readable on a phone, in light and in dark.

Model output is untrusted: everything is escaped by the template engine, control characters are made visible, and the
page's own policy forbids scripts and every fetch.
"""

from jinja2 import Environment, PackageLoader, StrictUndefined

from afterbase.core.sanitize import sanitized
from afterbase.report.charts import curve_charts, forest, length_charts, score_lines
from afterbase.report.headline import changes, headline, whole_percent
from afterbase.report.summary import Summary


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("afterbase.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"duration": duration, "whole_percent": whole_percent}
    return environment


def render(summary: Summary) -> str:
    """The page as a string; write it as UTF-8."""
    forest_rows, forest_scale = forest(summary["comparisons"])
    page = _environment().get_template("report.html.j2")
    return sanitized(
        page.render(
            **summary,
            headline=headline(summary["evaluations"], summary["comparisons"]) if summary["evaluations"] else [],
            changes=changes(summary["evaluations"]),
            scores=score_lines(summary["evaluations"]),
            length_charts=length_charts(summary["evaluations"], summary["comparisons"]),
            forest_rows=forest_rows,
            forest_scale=forest_scale,
            curve_charts=curve_charts(summary["curves"]),
        )
    )
