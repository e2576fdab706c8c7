"""One self-contained HTML page a run: no script, no font, no request; readable on a phone, in light and in dark.

Model output is untrusted: everything is escaped by the template engine, control characters are made visible, and the
page's own policy forbids scripts and every fetch.
"""

import contextlib
import datetime
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from afterbase.core.sanitize import sanitized
from afterbase.eval.score_answers import without_suffix
from afterbase.report.charts import curve_charts, ends, forest, length_charts, score_lines
from afterbase.report.curves import SHARE
from afterbase.report.headline import changes, whole_percent
from afterbase.report.overview import overview, turned_examples
from afterbase.report.summary import Measure, Summary
from afterbase.report.table import problems

_KINDS = {
    "sft": "Supervised fine-tuning (SFT)",
    "dpo": "Training on preferences (DPO)",
    "kto": "Training on good and bad answers (KTO)",
    "reward_model": "A reward model, trained on preferences",
    "grpo": "Reinforcement learning (GRPO)",
}
"""What a training of its own is, by its last stage."""


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


def moment(created: str) -> str:
    """A time in ISO 8601 as people write it; anything else as it is."""
    with contextlib.suppress(ValueError):
        return datetime.datetime.fromisoformat(created).astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return created


@dataclass(frozen=True, kw_only=True)
class Card:
    """A number at the top of the page, before and after, as text."""

    name: str
    before: str
    after: str
    details: list[str]


def card(measure: Measure) -> Card:
    """What a training measured of itself."""
    share = measure["unit"].startswith(SHARE)
    text = whole_percent if share else "{:.3g}".format
    low, high = measure["low"], measure["high"]
    details = [
        "" if low is None or high is None else f"95% interval {text(low)} to {text(high)}",
        measure["unit"],
        measure["when"],
    ]
    before = "" if measure["before"] is None else text(measure["before"])
    return Card(name=measure["name"], before=before, after=text(measure["after"]), details=[d for d in details if d])


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("afterbase.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "duration": duration,
        "moment": moment,
        "problems": problems,
        "whole_percent": whole_percent,
    }
    environment.tests |= {"scored": lambda domain: without_suffix(domain) != domain}
    return environment


def render(summary: Summary) -> str:
    """The page as a string; write it as UTF-8. An older summary, without the newer fields, has a page without them."""
    evaluations, comparisons = summary["evaluations"], summary["comparisons"]
    forest_rows, forest_scale = forest(comparisons)
    first = overview(evaluations, comparisons)
    by_domain = length_charts(evaluations, comparisons)
    page = _environment().get_template("report.html.j2")
    told = {"turned": [], "measures": [], "model_folder": None, "unfinished": None, **summary}
    return sanitized(
        page.render(
            **told,
            overview=first,
            kind=_KINDS.get(summary["stages"][-1]["stage"], ""),
            failed=sum(entry["failed"] for entry in evaluations),
            ends=ends(evaluations) if evaluations else (),
            changes=changes(evaluations),
            cards=[card(measure) for measure in told["measures"]],
            before_after=turned_examples(summary["examples"]),
            scores=score_lines(evaluations),
            length_charts=[] if first and first.picture and len(by_domain) == 1 else by_domain,
            forest_rows=forest_rows,
            forest_scale=forest_scale,
            curve_charts=curve_charts(summary["curves"]),
        )
    )
