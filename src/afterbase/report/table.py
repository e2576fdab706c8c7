"""The final table: one row a checkpoint and domain, greedy and sampled side by side; for the terminal and the page."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from afterbase.core.sanitize import cell
from afterbase.eval.summarise import Evaluation


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One checkpoint on one domain. Lengths and shares are those of `main`: sampled where it was run, else greedy."""

    checkpoint: str
    domain: str
    system_prompt: bool
    greedy: Evaluation | None
    sampled: Evaluation | None

    @property
    def main(self) -> Evaluation:
        entry = self.sampled or self.greedy
        assert entry is not None
        return entry

    @property
    def label(self) -> str:
        return label(self.checkpoint, self.system_prompt)


def label(checkpoint: str, system_prompt: bool) -> str:
    """A checkpoint's name, and whether it was asked with the system prompt to reflect.

    >>> label("expert SFT", True)
    'expert SFT + prompt'
    """
    return f"{checkpoint} + prompt" if system_prompt else checkpoint


def table_rows(evaluations: Sequence[Evaluation]) -> dict[str, list[TableRow]]:
    """Rows of each domain; domains and rows in the order of `evaluations`."""
    entries: dict[tuple[str, str, bool], dict[str, Evaluation]] = defaultdict(dict)
    for entry in evaluations:
        entries[entry["domain"], entry["checkpoint"], entry["system_prompt"]][entry["decoding"]] = entry
    rows: dict[str, list[TableRow]] = defaultdict(list)
    for (domain, checkpoint, system_prompt), by_decoding in entries.items():
        rows[domain].append(
            TableRow(
                checkpoint=checkpoint,
                domain=domain,
                system_prompt=system_prompt,
                greedy=by_decoding.get("greedy"),
                sampled=by_decoding.get("sampled"),
            )
        )
    return dict(rows)


def percent(share: float | None) -> str:
    """A fraction of 1 as a percentage with one decimal and no sign; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f}"


def problems(n: int) -> str:
    """A number of problems: 1 problem, 1,200 problems."""
    return f"{n:,} problem{'' if n == 1 else 's'}"


def score(entry: Evaluation | None) -> tuple[str, str]:
    """pass@1 and its interval, as text."""
    if entry is None or entry["pass1"] is None:
        return "–", ""
    return percent(entry["pass1"]), f"{percent(entry['pass1_low'])}–{percent(entry['pass1_high'])}"


def tokens(count: float | None) -> str:
    """A number of tokens, rounded; a dash for None."""
    return "–" if count is None else f"{count:.0f}"


def final_table(evaluations: Sequence[Evaluation]) -> Table:
    """All scores in percent, under the names of the page; 95% intervals in brackets."""
    title = "Right answers to n problems, in % [95% interval]; cut off and well formed, in %"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("checkpoint")
    for heading in ("greedy", "sampled", "maj@8", "mean\ntokens", "cut\noff", "well\nformed"):
        table.add_column(heading, justify="right")
    for domain, rows in table_rows(evaluations).items():
        most = max(row.main["n"] for row in rows)
        table.add_row(cell(domain, style="bold").append(f", n = {most:,}", style="dim"))
        for row in rows:
            greedy, sampled = (
                f"{value} [dim]\\[{interval}][/dim]" if interval else value
                for value, interval in (score(row.greedy), score(row.sampled))
            )
            table.add_row(
                cell(f" {row.label}"),
                greedy,
                sampled,
                percent(row.main["maj8"]),
                tokens(row.main["mean_tokens"]),
                percent(row.main["truncated_share"]),
                percent(row.main["format_share"]),
            )
    return table
