"""The run's result in a few sentences that follow from its numbers, good or bad."""

from collections.abc import Sequence
from dataclasses import dataclass

from afterbase.eval.summarise import Comparison, Evaluation
from afterbase.report.charts import ends, p_value, points
from afterbase.report.table import table_rows


@dataclass(frozen=True, kw_only=True)
class Change:
    """Base and final on one domain, without a system prompt, under the decoding that both were run with.

    `n` counts problems; `most_tokens` is the mean length of the wordiest checkpoint there, with or without the prompt.
    """

    domain: str
    decoding: str
    n: int
    before: float
    after: float
    tokens_before: float
    tokens_after: float
    most_tokens: float


def changes(evaluations: Sequence[Evaluation]) -> list[Change]:
    """One entry a domain that both ends of the recipe were evaluated on; sampled where both have it, else greedy."""
    if not evaluations:
        return []
    base, final = ends(evaluations)
    found = []
    for domain, rows in table_rows(evaluations).items():
        plain = {row.checkpoint: row for row in rows if not row.system_prompt}
        for decoding in ("sampled", "greedy"):
            a, b = (getattr(plain[name], decoding) if name in plain else None for name in (base, final))
            if a and b and a["pass1"] is not None and b["pass1"] is not None:
                entries = [entry for row in rows if (entry := getattr(row, decoding))]
                found.append(
                    Change(
                        domain=domain,
                        decoding=decoding,
                        n=b["n"],
                        before=a["pass1"],
                        after=b["pass1"],
                        tokens_before=a["mean_tokens"],
                        tokens_after=b["mean_tokens"],
                        most_tokens=max(entry["mean_tokens"] or 0.0 for entry in entries),
                    )
                )
                break
    return found


def whole_percent(share: float) -> str:
    """A percentage without decimals, except where rounding would turn something into nothing or everything."""
    rounded = round(100 * share)
    if (rounded == 0 and share > 0) or (rounded == 100 and share < 1):
        return f"{100 * share:.1f}%"
    return f"{rounded}%"


def listed(items: Sequence[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _verdict(comparison: Comparison) -> str:
    p = p_value(comparison["p"])
    p = p if p.startswith("<") else f"=\N{NO-BREAK SPACE}{p}"
    interval = f"{points(comparison['low'])} to {points(comparison['high'])}, p\N{NO-BREAK SPACE}{p}"
    clear = comparison["low"] > 0 or comparison["high"] < 0
    doubt = "" if clear else ", not distinguishable from none"
    return f"{comparison['a']} to {comparison['b']} {points(comparison['difference'])} points ({interval}){doubt}"


def headline(evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison]) -> list[str]:
    """Accuracy before and after, length, pooled paired differences from the base or to the end, and failed verdicts."""
    moved = changes(evaluations)
    if not moved:
        return ["This run evaluated no domain with both its first and its last checkpoint."]
    base, final = ends(evaluations)
    accuracy = [f"from {whole_percent(c.before)} to {whole_percent(c.after)} on {c.domain}" for c in moved]
    decodings = listed(sorted({c.decoding for c in moved}))
    sentences = [f"From {base} to {final}, pass@1 goes {listed(accuracy)} ({decodings} answers, no system prompt)."]
    lengths = listed([f"{c.tokens_after:.0f} on {c.domain}" for c in moved])
    longest = listed([f"{c.most_tokens:.0f}" for c in moved])
    sentences.append(f"Mean answer length of {final}, in tokens: {lengths}; of the wordiest checkpoint: {longest}.")
    pooled = [c for c in comparisons if c["domain"] == "all" and (c["a"] == base or c["b"] == final)]
    if pooled:
        sentences.append(f"Paired by problem over the reasoning domains: {'; '.join(_verdict(c) for c in pooled)}.")
    failed = sum(entry["failed"] for entry in evaluations)
    if failed:
        what = "1 answer" if failed == 1 else f"{failed} answers"
        sentences.append(f"The verifiers failed on {what}: counted here, and in no score.")
    return sentences
