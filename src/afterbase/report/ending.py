"""The last lines of a run: what was learnt, with intervals; where it lies; what can be done with it."""

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from afterbase.eval.summarise import Comparison, Evaluation
from afterbase.report.charts import ends, points
from afterbase.report.model_usage import is_adapter, is_reward_model
from afterbase.report.table import TableRow, score, table_rows


def learnt(
    evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison], reasoning: Collection[str]
) -> list[str]:
    """A line for all `reasoning` domains together, and one for each other domain, of whatever measure it has.

    Accuracies are those of answers without a system prompt, sampled ones where there are any. Differences in points
    are paired by problem; their intervals, and those in brackets, are 95 % intervals.
    """
    rows = {
        domain: [row for row in rows if not row.system_prompt and row.main["pass1"] is not None]
        for domain, rows in table_rows(evaluations).items()
    }
    pooled = {domain: rows[domain] for domain in rows if domain in reasoning}
    others = {domain: rows[domain] for domain in rows if domain not in reasoning and rows[domain]}
    return [*_together(pooled, comparisons, evaluations), *(_alone(domain, rows) for domain, rows in others.items())]


def places(model: Path, report: Path, *, name: str) -> list[str]:
    """Where model and report lie, and how to ask the model; `name` is what commands call it."""
    called = shlex.quote(name)
    if is_adapter(model):
        use = f"use it: {model / 'README.md'} says how peft loads it on its base"
    elif is_reward_model(model):
        use = f"score with it: afterbase score reward {called} FILE"
    else:
        use = f"talk to it: afterbase chat {called}"
    return [f"model: {model}", f"report: {report}", use]


def _together(
    rows: dict[str, list[TableRow]], comparisons: Sequence[Comparison], evaluations: Sequence[Evaluation]
) -> list[str]:
    """The way from the first checkpoint to the last, pooled over domains."""
    pooled = [c for c in comparisons if c["domain"] == "all" and not (c["system_prompt_a"] or c["system_prompt_b"])]
    before = {c["b"]: c["a"] for c in reversed(pooled)}  # of several, the first that the recipe compares with
    way = [ends(evaluations)[1] if evaluations else ""]
    while way[-1] in before and before[way[-1]] not in way:
        way.append(before[way[-1]])
    first = way[-1]
    known, last, parts = {first}, first, []
    for c in pooled:
        if c["a"] in known and c["b"] not in known:
            unit, kind = ("", "") if parts else (" points", "95% interval ")
            against = "" if c["a"] == last else f" against {c['a']}"
            change = f"{points(c['difference'])}{unit}{against}, {kind}{points(c['low'])} to {points(c['high'])}"
            parts.append(f"{c['b']} {_accuracy(rows, c['b']):.1%} ({change})")
            known.add(c["b"])
            last = c["b"]
    if not parts:
        return []
    problems = sum(row.main["n"] for of_domain in rows.values() for row in of_domain if row.checkpoint == first)
    return [f"learnt: of {problems} held-out problems {first} solves {_accuracy(rows, first):.1%}, {', '.join(parts)}"]


def _accuracy(rows: dict[str, list[TableRow]], checkpoint: str) -> float:
    """The mean over all problems of all domains."""
    entries = [row.main for of_domain in rows.values() for row in of_domain if row.checkpoint == checkpoint]
    return sum(entry["n"] * (entry["pass1"] or 0.0) for entry in entries) / max(1, sum(entry["n"] for entry in entries))


def _alone(domain: str, rows: Sequence[TableRow]) -> str:
    """What each checkpoint reaches in a domain that is in no comparison."""
    measured = [(row.checkpoint, *score(row.main)) for row in rows]
    parts = [f"{checkpoint} {value}% [{interval}]" for checkpoint, value, interval in measured]
    return f"{domain}, {rows[0].main['n']} held-out problems: {', '.join(parts)}"
