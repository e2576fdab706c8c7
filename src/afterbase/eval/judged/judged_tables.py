"""A judged evaluation as tables: each judge's calibration beside its scores, and the report's own rows."""

from typing import Any

from rich.console import Console
from rich.table import Column, Table

from afterbase.core.sanitize import cell

_MEASURES = {
    "position_bias": "position bias (0 is fair)",
    "consistency": "same verdict in both orders",
    "length_bias": "preference for the longer answer (0 is fair)",
    "self_preference": "preference for its own answers (0 is fair)",
    "no_verdict": "replies without a verdict",
    "agreement_with_people": "agreement with people",
}
_SECTIONS = ("Chat", "Chat Hard", "Safety", "Reasoning")


def show(results: dict[str, Any], console: Console | None = None) -> None:
    """Print what `run.evaluate` gives."""
    console = console or Console()
    for judge, found in results["judges"].items():
        for table in tables(judge, found, results["published"]):
            console.print(table)


def tables(judge: str, found: dict[str, Any], published: dict[str, Any]) -> list[Table]:
    """Open-ended scores, RewardBench, calibration."""
    out = []
    arena, alpaca = found.get("arena-hard", {}), found.get("alpaca-eval", {})
    if arena or alpaca:
        table = Table(
            "model", "Arena-Hard", "AlpacaEval 2.0, win rate", "length-controlled", title=cell(f"Judge: {judge}")
        )
        for model in dict.fromkeys([*arena, *alpaca]):
            a, b = arena.get(model, {}), alpaca.get(model, {})
            battle = _interval(a.get("score"), a.get("ci_low"), a.get("ci_high"))
            won = "-" if b.get("win_rate") is None else f"{b['win_rate']:.1f} ± {b['standard_error']:.1f}"
            table.add_row(cell(model), battle, won, _number(b.get("length_controlled_win_rate")))
        table.add_section()
        for model, scores in published["open_ended"]["scores"].items():
            table.add_row(
                f"{model} (report)", _number(scores["arena_hard"]), "-", _number(scores["alpaca_eval_2"]), style="dim"
            )
        out.append(table)
    if "reward-bench" in found:
        table = Table("RewardBench", *_SECTIONS, "Average")
        for name, scores in found["reward-bench"].items():
            sections = [_number(scores["sections"][section]) for section in _SECTIONS]
            table.add_row(cell(f"{judge}, {name}"), *sections, _number(scores["average"]))
        table.add_section()
        for model, row in published["reward_bench"]["scores"].items():
            table.add_row(f"{model} (report)", *map(_number, row), style="dim")
        out.append(table)
    table = Table(Column(cell(f"Calibration of {judge}")), "value", "95 % interval", "n")
    for key, title in _MEASURES.items():
        measure = found["calibration"][key]
        if measure is not None:
            low, high = measure["low"], measure["high"]
            table.add_row(title, f"{measure['value']:.3f}", f"{low:.3f} to {high:.3f}", str(measure["n"]))
    out.append(table)
    tasks = Table("model", "kind of question", "win rate", "95 % interval", "n")
    for model, rates in found["by_task"].items():
        for task, rate in rates.items():
            tasks.add_row(
                cell(model), cell(task),
                f"{100 * rate['value']:.1f}", f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f}", str(rate["n"]),
            )  # fmt: skip
    return [*out, tasks] if tasks.row_count else out


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    return "-" if value is None or low is None or high is None else f"{value:.1f} ({low:.1f} to {high:.1f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
