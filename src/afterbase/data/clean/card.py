"""A data card: what is in a set of samples, where it came from, what left it and why. JSON, and the same as Markdown.

Licences and sources are those that rows name in `extra` (`license`, `source`); a row that names none counts as unknown.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afterbase.data.mixture import Drawn, preview

_UNKNOWN = "unknown"


class Tally:
    """Counts rows as they pass, table by table; memory grows by 4 bytes a kept row, for the quantiles of lengths."""

    def __init__(self) -> None:
        self._rows: Counter[tuple[str, str]] = Counter()  # (domain, kept or dropped)
        self._named: defaultdict[str, Counter[str]] = defaultdict(Counter)  # of kept rows
        self._verdicts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._drops: Counter[tuple[str, str]] = Counter()
        self._scores: dict[tuple[str, str], tuple[float, float]] = {}
        self._lengths: defaultdict[str, list[np.ndarray]] = defaultdict(list)

    def add(self, table: pa.Table) -> None:
        """The rows of a table of samples, kept and dropped."""
        kept = table["dropped"].is_null()
        for domain, stays in zip(table["domain"].to_pylist(), kept.to_pylist(), strict=True):
            self._rows[domain, "kept" if stays else "dropped"] += 1
        for drop in table["dropped"].filter(table["dropped"].is_valid()).to_pylist():
            rule, score = (drop["stage"], drop["rule"]), drop["score"]
            self._drops[rule] += 1
            if score is not None:
                low, high = self._scores.get(rule, (score, score))
                self._scores[rule] = (min(low, score), max(high, score))
        self._add_kept(table.filter(kept))

    def _add_kept(self, table: pa.Table) -> None:
        domains = np.array(table["domain"].to_pylist(), object)
        lengths = characters(table)
        for domain in set(domains.tolist()):
            self._lengths[domain].append(lengths[domains == domain].astype(np.uint32))
        self._named["kinds"].update(table["kind"].to_pylist())
        for name, found in _extras(table["extra"], ("license", "source")).items():
            self._named[name].update(found)
        producers = Counter(table["producer"].to_pylist())
        for producer, count in producers.items():
            self._named["producers"][str(json.loads(producer).get("name", _UNKNOWN))] += count
        for verdicts in table["verdicts"].to_pylist():
            for verdict in verdicts or ():
                self._verdicts[verdict["verifier"]][verdict["status"]] += 1

    def card(
        self, *, mixture: Sequence[Drawn] = (), agreement: Mapping[str, float] | None = None, **about: Any
    ) -> dict[str, Any]:
        """The card; `agreement` are measures of reviewers' agreement by name, `about` what else it should say."""
        domains = sorted({domain for domain, _ in self._rows})
        return {
            **about,
            "rows": {state: sum(n for (_, s), n in self._rows.items() if s == state) for state in ("kept", "dropped")},
            "domains": {
                domain: {
                    "kept": self._rows[domain, "kept"],
                    "dropped": self._rows[domain, "dropped"],
                    "characters": _quantiles(self._lengths[domain]),
                }
                for domain in domains
            },
            "kinds": _ordered(self._named["kinds"]),
            "licenses": _ordered(self._named["license"]),
            "sources": _ordered(self._named["source"]),
            "producers": _ordered(self._named["producers"]),
            "verdicts": {name: _ordered(counts) for name, counts in sorted(self._verdicts.items())},
            "agreement": dict(agreement or {}),
            "drops": [
                {"stage": stage, "rule": rule, "rows": n, "scores": self._scores.get((stage, rule))}
                for (stage, rule), n in sorted(self._drops.items(), key=lambda item: (-item[1], item[0]))
            ],
            "mixture": [
                {"domain": d.domain, "rows": d.there, "used": d.used, "target": d.target} for d in mixture
            ],
        }  # fmt: skip


def summary(card: Mapping[str, Any]) -> str:
    """A few lines: how many rows stay, and the rules that took most."""
    rows = card["rows"]
    lines = [f"{rows['kept']:,} rows kept, {rows['dropped']:,} dropped"]
    lines += [f"  {drop['rows']:>9,}  {drop['stage']}: {drop['rule']}" for drop in card["drops"][:12]]
    return "\n".join(lines)


def characters(table: pa.Table) -> np.ndarray:
    """Characters of all turns of each row."""
    messages = table["messages"].combine_chunks()
    _, contents = messages.flatten().flatten()
    lengths = pc.utf8_length(contents).to_numpy(zero_copy_only=False)  # pyright: ignore[reportAttributeAccessIssue]
    ends = np.concatenate(([0], np.cumsum(messages.value_lengths().to_numpy(zero_copy_only=False))))
    before = np.concatenate(([0], np.cumsum(lengths)))
    return before[ends[1:]] - before[ends[:-1]]


def _extras(column: pa.ChunkedArray, names: Sequence[str]) -> dict[str, Counter[str]]:
    """How often each value of some keys of `extra` occurs; parsed only where a key can be."""
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for text in column.to_pylist():
        extra = json.loads(text) if any(f'"{name}"' in text for name in names) else {}
        for name in names:
            found[name][str(extra.get(name, _UNKNOWN))] += 1
    return found


def _quantiles(parts: Sequence[np.ndarray]) -> dict[str, int] | None:
    if not sum(map(len, parts)):
        return None
    values = np.concatenate(parts)
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], method="nearest")
    return {"p5": int(low), "median": int(middle), "p95": int(high), "most": int(values.max())}


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def as_markdown(card: Mapping[str, Any], mixture: Sequence[Drawn] = ()) -> str:
    """The card for people."""
    kept, dropped = card["rows"]["kept"], card["rows"]["dropped"]
    lines = [f"# {card.get('name', 'Samples')}", "", f"{kept:,} rows kept, {dropped:,} dropped.", ""]
    lines += [
        "| domain | kept | dropped | characters: 5 % | median | 95 % | most |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for domain, of in card["domains"].items():
        lengths = of["characters"] or {}
        cells = [f"{lengths[key]:,}" if lengths else "" for key in ("p5", "median", "p95", "most")]
        lines.append(f"| {_cell(domain)} | {of['kept']:,} | {of['dropped']:,} | {' | '.join(cells)} |")
    for title in ("kinds", "licenses", "sources", "producers"):
        lines += ["", f"**{title.capitalize()}**: {_listed(card[title])}"]
    if card["verdicts"]:
        lines += ["", "**Verdicts** on kept rows", ""]
        lines += [f"- {_cell(name)}: {_listed(counts)}" for name, counts in card["verdicts"].items()]
    if card["agreement"]:
        lines += ["", "**Agreement** of reviewers", ""]
        lines += [f"- {_cell(name)}: {value:.3f}" for name, value in card["agreement"].items()]
    if mixture:
        lines += ["", "## Mixture", "", preview(mixture)]
    if card["drops"]:
        lines += ["", "## Dropped", "", "| stage | rule | rows | scores |", "|---|---|---:|---|"]
        for drop in card["drops"]:
            scores = "" if drop["scores"] is None else " to ".join(f"{s:.4g}" for s in drop["scores"])
            lines.append(f"| {_cell(drop['stage'])} | {_cell(drop['rule'])} | {drop['rows']:,} | {scores} |")
    return "\n".join(lines) + "\n"


def _listed(counts: Mapping[str, int]) -> str:
    shown = list(counts.items())[:20]
    more = f", and {len(counts) - len(shown)} more" if len(counts) > len(shown) else ""
    return ", ".join(f"{_cell(name)} {n:,}" for name, n in shown) + more if shown else "none"


def _cell(text: str) -> str:
    """A name from the data, which may not break the table that it stands in."""
    return " ".join(text.replace("|", "\\|").split())
