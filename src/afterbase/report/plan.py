"""A run before it happens: its stages, what is cached, and what the others will take."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from rich.table import Table

from afterbase.core.sanitize import cell
from afterbase.core.screen.run_state import PlannedStage
from afterbase.core.store import Cost, StageRecord, Store
from afterbase.report.machine_rate import SMALL, Rates

_VERIFIED, _ANSWERED = 0.002, 1 / 1000  # seconds an answer that is verified, and a token that an endpoint writes
_COMPARABLE = 0.1  # share of a stage's cost that a measured one must have had


class StageSeconds:
    """Seconds that stages take: as others of their kind took in this store with the same model, else as estimated."""

    def __init__(self, store: Store, rates: Rates) -> None:
        self._rates = rates
        manifests = {manifest["key"]: manifest for manifest in store.manifests()}
        self._made_from = {key: [a["key"] for a in m["inputs"].values()] for key, m in manifests.items()}
        self._made_from |= {r.artifact.key: [a.key for a in r.inputs] for r in store.stages}
        self._bases = {key for key, manifest in manifests.items() if manifest["stage"] == "base"}
        self._bases |= {r.artifact.key for r in store.stages if r.stage == "base"}
        self._measured: dict[tuple[str, str | None], list[tuple[float, float]]] = defaultdict(list)
        for key, manifest in manifests.items():
            took = manifest["seconds"], self._estimated(Cost(**manifest["cost"]))
            self._measured[manifest["stage"], self._base(key)].append(took)

    def of(self, record: StageRecord) -> tuple[float, bool]:
        """What a stage will take, and whether that is measured.

        One without a cost takes as long as others of its kind did, and counts as measured: there is nothing to
        estimate.
        """
        estimated = self._estimated(record.cost)
        # A much smaller stage took the time that any stage takes to start, which says nothing of a rate.
        # Nor does one that has a cost of a kind that has none: drafts are asked for, or written by rule.
        pairs = [
            pair
            for pair in self._measured[record.stage, self._base(record.artifact.key)]
            if pair[1] >= _COMPARABLE * estimated and bool(pair[1]) == bool(estimated)
        ]
        if not pairs:
            return estimated, not estimated
        took, expected = (sum(column) for column in zip(*pairs, strict=True))
        return (estimated * took / expected if estimated else took / len(pairs)), True

    def _estimated(self, cost: Cost) -> float:
        local = cost.trained / self._rates.trained + cost.generated / self._rates.generated
        return local + cost.verified * _VERIFIED + cost.answer_tokens * _ANSWERED

    def _base(self, key: str) -> str | None:
        """The model that an artifact comes from, as the key of its copy."""
        seen, pending = set(), [key]
        while pending:
            key = pending.pop()
            if key in self._bases:
                return key
            if key not in seen:
                seen.add(key)
                pending += self._made_from.get(key, [])
        return None


def planned_stages(store: Store, beside: Collection[str]) -> list[PlannedStage]:
    """The stages of a store that plans, as the screen is told of them; those named in `beside` run at the same time.

    Where nothing is measured, seconds are those of a small model: the screen learns from each stage by how much to
    correct them.
    """
    records: dict[str, StageRecord] = {}
    for record in store.stages:
        records.setdefault(record.name, record)
    if all(record.cached for record in records.values()):
        return [PlannedStage(r.name, r.stage, r.branch, cached=True) for r in records.values()]
    seconds = StageSeconds(store, SMALL)
    return [
        PlannedStage(r.name, r.stage, r.branch, *seconds.of(r), cached=r.cached, beside=r.name in beside)
        for r in records.values()
    ]


def plan_table(records: Sequence[StageRecord], seconds: StageSeconds) -> Table:
    """One line a stage; inputs, and the first of several stages that make one artifact, are named by their line."""
    table = Table(box=None, pad_edge=False)
    asked = any(record.cost.requests for record in records)
    for heading in ("", "trained", "generated", *(["requests"] if asked else []), "minutes"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("stage <- made from")
    lines: dict[str, int] = {}
    for number, record in enumerate(records, start=1):
        first = lines.setdefault(record.artifact.key, number)
        sources = ", ".join(str(n) for n in dict.fromkeys(lines[a.key] for a in record.inputs))
        table.add_row(
            str(number),
            _short(record.cost.trained),
            _short(record.cost.generated),
            *([_short(record.cost.requests)] if asked else []),
            "cached" if record.cached else f"as {first}" if first != number else _minutes(*seconds.of(record)),
            cell(f"{record.name} <- {sources}" if sources else record.name),  # a name is no markup: `GRPO [seed 1]`
        )
    return table


def total(store: Store, seconds: StageSeconds, rates: Rates, *, processes: int = 1) -> list[str]:
    """What all stages that are not cached take together, and where that is known from."""
    to_run: dict[str, tuple[float, bool]] = {}  # two seeds share some stages
    for record in store.stages:
        if not record.cached:
            to_run[record.artifact.key] = seconds.of(record)
    cached = sum(record.cached for record in store.stages)
    if not to_run:
        return [f"all {len(store.stages)} stages are cached: nothing to run."]
    minutes = sum(took for took, _ in to_run.values()) / 60
    shared = f", shared by up to {processes} processes" if processes > 1 else ""
    lines = [f"{len(store.stages)} stages, {cached} cached; about {minutes:.0f} minutes to run{shared}."]
    if any(measured and took for took, measured in to_run.values()):
        lines.append("Minutes without ~ are measured on this machine: by earlier stages of this store.")
    if not all(measured for _, measured in to_run.values()):
        lines.append(f"Minutes with ~ are estimated: {rates.source}.")
    return lines


def _minutes(seconds: float, measured: bool) -> str:
    return f"{'' if measured else '~'}{seconds / 60:.1f}"


def _short(count: int) -> str:
    """960, 3.1k, 655k, 12M; nothing for zero."""
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if count >= size:
            return f"{count / size:.1f}{unit}" if count < 10 * size else f"{count / size:,.0f}{unit}"
    return str(count) if count else ""
