"""A run before it happens: its stages, what is cached, and what the others will take."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from afterbase.core.sanitize import cell
from afterbase.core.store import Cost, StageRecord

# Seconds a token on two cores, where no earlier run in the store has measured them.
_TRAINED, _GENERATED, _VERIFIED, _ANSWERED = 1 / 5000, 1 / 6000, 0.002, 1 / 1000
_COMPARABLE = 0.1  # share of a stage's cost that a measured one must have had


class MeasuredCosts:
    """Seconds that stages take, from assumed rates corrected by what stages of the same kind took in this store."""

    def __init__(self, store: Path) -> None:
        self._measured: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for path in store.glob("*/manifest.json"):
            manifest = json.loads(path.read_text())
            self._measured[manifest["stage"]].append((manifest["seconds"], _assumed(Cost(**manifest["cost"]))))

    def seconds(self, record: StageRecord) -> float:
        """What a stage will take; one without a cost takes as long as others of its kind did."""
        assumed = _assumed(record.cost)
        # A much smaller stage took the time that any stage takes to start, which says nothing of a rate.
        # Nor does one that has a cost of a kind that has none: drafts are asked for, or written by rule.
        pairs = [
            pair
            for pair in self._measured[record.stage]
            if pair[1] >= _COMPARABLE * assumed and bool(pair[1]) == bool(assumed)
        ]
        if not pairs:
            return assumed
        took, expected = (sum(column) for column in zip(*pairs, strict=True))
        return assumed * took / expected if assumed else took / len(pairs)


def plan_table(records: Sequence[StageRecord], costs: MeasuredCosts) -> Table:
    """One line a stage; inputs, and the first of several stages that make one artifact, are named by their line."""
    table = Table(box=None, pad_edge=False)
    asked = any(record.cost.requests for record in records)
    for heading in ("", "trained", "generated", *(["requests"] if asked else []), "minutes"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("stage <- made from")
    lines: dict[str, int] = {}
    for number, record in enumerate(records, start=1):
        first = lines.setdefault(record.artifact.key, number)
        minutes = f"as {first}" if first != number else f"{costs.seconds(record) / 60:.1f}"
        sources = ", ".join(str(n) for n in dict.fromkeys(lines[a.key] for a in record.inputs))
        table.add_row(
            str(number),
            _short(record.cost.trained),
            _short(record.cost.generated),
            *([_short(record.cost.requests)] if asked else []),
            "cached" if record.cached else minutes,
            cell(f"{record.name} <- {sources}" if sources else record.name),  # a name is no markup: `GRPO [seed 1]`
        )
    return table


def _assumed(cost: Cost) -> float:
    local = cost.trained * _TRAINED + cost.generated * _GENERATED + cost.verified * _VERIFIED
    return local + cost.answer_tokens * _ANSWERED


def _short(count: int) -> str:
    """960, 3.1k, 655k, 12M; nothing for zero."""
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if count >= size:
            return f"{count / size:.1f}{unit}" if count < 10 * size else f"{count / size:,.0f}{unit}"
    return str(count) if count else ""
