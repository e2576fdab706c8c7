"""`afterbase eval MODEL --tasks ...`, and what can be done with its results."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from afterbase.cli.parameters import Columns, columns_of
from afterbase.core.sanitize import cell, sanitized

Number = TypeVar("Number", int, float)


class _ModelFirst(TyperGroup):
    """`afterbase eval MODEL` stands for `afterbase eval model MODEL`: what is no command is a model or its option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["model", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ModelFirst,
    no_args_is_help=True,
    help="Evaluate a model on a table of yours or on public benchmarks, and compare results. "
    "`afterbase eval MODEL --tasks ...` is short for `afterbase eval model MODEL --tasks ...`.",
)
AsJson = Annotated[bool, typer.Option("--json", help="As one JSON object.")]


@app.command()
def model(
    subject: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model folder, a shipped model (tiny-v3), or http://HOST/v1[#NAME]."),
    ],
    tasks: Annotated[
        str, typer.Option("--tasks", help="Benchmarks with commas between them, such as gsm8k,math500; or own files.")
    ],
    verifier: Annotated[
        str | None,
        typer.Option("--verifier", help="Of own files: maths, exact, choice ..., FILE.py:FUNCTION or MODULE:FUNCTION."),
    ] = None,
    columns: Columns = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="A folder with the benchmarks' files; without it, the hub.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="The first so many questions of each.")] = None,
    runs: Annotated[int | None, typer.Option("--runs", help="Answers a question, in place of the protocol's.")] = None,
    temperatures: Annotated[
        str | None, typer.Option("--temperatures", help="Of the runs, in turn, with commas; 0 is greedy.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", help="The limit on answers; the protocol's is 8192.")
    ] = None,
    budgets: Annotated[
        str | None, typer.Option("--budgets", help="Each benchmark under each of these limits, such as 256,1024.")
    ] = None,
    twins: Annotated[
        bool, typer.Option("--twins", help="Also with options in another order, other names, other numbers.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of sampled answers, and of problems that are made anew.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Who judges free answers: as MODEL, an endpoint or a folder.")
    ] = None,
    trained_on: Annotated[
        list[Path] | None,
        typer.Option("--trained-on", help="Rows that the model was trained on (Parquet, JSONL); may be repeated."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="The endpoint's model has no chat template: ask for continuations.")
    ] = False,
    token_variable: Annotated[
        str | None, typer.Option("--token-variable", help="The variable that holds the endpoint's token.")
    ] = None,
    judge_token_variable: Annotated[
        str | None, typer.Option("--judge-token-variable", help="The same for the judge's endpoint.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where answers and results lie; evals/MODEL unless told otherwise.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run benchmarks on a model; a run that was stopped goes on with the same command."""
    from afterbase.core.progress import Progress
    from afterbase.eval.benchmarks import benchmark
    from afterbase.eval.benchmarks.contamination import training_of
    from afterbase.eval.benchmarks.settings import Settings, fresh_seed
    from afterbase.eval.benchmarks.subject import find_subject
    from afterbase.eval.tasks.benchmark_rows import Folder
    from afterbase.eval.tasks.own_table import tasks_named

    names, own = tasks_named(tasks, verifier, columns_of(columns))
    settings = Settings(
        limit=limit,
        runs=runs,
        temperatures=_numbers(temperatures, float) if temperatures is not None else None,
        max_tokens=max_new_tokens,
        budgets=_numbers(budgets, int) if budgets is not None else (),
        twins=twins,
        seed=seed or 0,
    )
    who = find_subject(subject, plain=plain, token_variable=token_variable)
    judging = find_subject(judge, token_variable=judge_token_variable) if judge is not None else None
    place = out if out is not None else Path("evals") / who.label
    results = benchmark.evaluate(
        who,
        names,
        benchmark.Plan(
            folder=Folder(data, fresh_seed(seed, place) if "fresh" in names else 0),
            settings=settings,
            out=place,
            training=training_of(who.folder, trained_on or []),
            own=own,
        ),
        judge=judging,
        progress=Progress(),
        notify=lambda line: print(sanitized(line), file=sys.stderr),
    )
    shown = {
        name: result.model_dump(exclude={key for key in ("gap", "contaminated") if getattr(result, key) is None})
        for name, result in results.items()
    }
    if as_json:
        print(json.dumps(shown, ensure_ascii=False))
        return
    for name, result in results.items():
        if result.gap is not None:
            it = result.gap
            print(
                sanitized(
                    f"{name}: the benchmark is {it.value:+.1f} [{it.low:.1f}, {it.high:.1f}], on {it.n} questions"
                )
            )
    _table(shown, "value", {"value": "score in %", "n": "n", "mean_tokens": "tokens", "truncated_share": "truncated"})
    print(sanitized(f"results: {place}"))


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A folder of results: the reference.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="A folder of results: what should be better.")],
    as_json: AsJson = False,
) -> None:
    """Paired differences of two results on the same questions, corrected for their number."""
    from afterbase.eval.benchmarks.compare import compare as compared

    shown = compared(a, b)
    if as_json:
        print(json.dumps(shown, ensure_ascii=False))
        return
    heads = {"a": "A", "b": "B", "difference": "B - A", "p_holm": "p (Holm)", "n": "n", "seen": "seen at n"}
    _table(shown, "difference", heads | {"items_for_one_point": "n for 1 point"})
    for name, row in shown.items():
        if row["settings_differ"]:
            print(sanitized(f"{name}: the two differ in {', '.join(row['settings_differ'])}"), file=sys.stderr)


@app.command()
def judged(
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL...", help="Contestants: as of `eval`.")] = None,
    judge: Annotated[list[str] | None, typer.Option("--judge", help="Who judges; several for self-preference.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Whom Arena-Hard compares with.")] = None,
    data: Annotated[Path, typer.Option("--data", help="A folder with the benchmarks' files.")] = Path(),
    tasks: Annotated[str, typer.Option("--tasks", help="Which, with commas.")] = "arena-hard,alpaca-eval,reward-bench",
    limit: Annotated[int | None, typer.Option("--limit", help="The first so many questions of each.")] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="The limit on answers.")] = 8192,
    judge_tokens: Annotated[int, typer.Option("--judge-tokens", help="The limit on judgements.")] = 4096,
    votes: Annotated[int, typer.Option("--votes", help="Verdicts a pair of RewardBench, voted.")] = 6,
    out: Annotated[Path, typer.Option("--out", help="Where answers, judgements and results lie.")] = Path("judged"),
    as_json: AsJson = False,
) -> None:
    """Arena-Hard, AlpacaEval 2.0 and RewardBench with any judge, and how far the judge can be trusted."""
    from afterbase.core.errors import UserError
    from afterbase.core.progress import Progress
    from afterbase.eval.judged import judged_run as run
    from afterbase.eval.judged import judged_tables as tables
    from afterbase.eval.judged.judged_plan import Plan

    if not judge:
        raise UserError("a judged evaluation has a judge", got="none", remedy="add --judge URL or a model's folder")
    plan = Plan(
        tasks=tuple(tasks.split(",")),
        models=tuple(models or ()),
        baseline=baseline,
        judges=tuple(judge),
        data=data,
        out=out,
        limit=limit,
        max_tokens=max_new_tokens,
        judge_tokens=judge_tokens,
        votes=votes,
    )
    results = run.evaluate(plan, Progress(), notify=lambda line: print(sanitized(line), file=sys.stderr))
    if as_json:
        print(json.dumps(results["judges"], ensure_ascii=False))
        return
    tables.show(results)
    print(sanitized(f"results: {out}"))


def _numbers(text: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    from afterbase.core.errors import UserError

    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            "a list of numbers has commas between them", got=f"`{text}`", remedy="write it as 0.3,0.7, or 256,1024"
        ) from None


def _table(rows: dict[str, dict[str, Any]], score: str, columns: dict[str, str]) -> None:
    """One row a benchmark; `columns` are the heads by key, and the interval stands with the `score`."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    table.add_column("benchmark", no_wrap=True)
    for key, head in columns.items():
        table.add_column(head, no_wrap=key == score, justify="right")
    for name, row in rows.items():
        cells = {key: "-" if row[key] is None else f"{row[key]:.4g}" for key in columns}
        cells[score] = f"{row[score]:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
        table.add_row(cell(name), *cells.values())
    Console().print(table)
