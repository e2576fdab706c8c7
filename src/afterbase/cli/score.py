"""`afterbase score`: judged benchmarks from their files of verdicts, and reward models; for people and programs."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from afterbase.core.errors import UserError
from afterbase.core.sanitize import cell, sanitized

app = typer.Typer(no_args_is_help=True, help="Score judged benchmarks from their files of verdicts, and reward models.")
AsJson = Annotated[bool, typer.Option("--json", help="As one JSON object, unrounded.")]


@app.command(name="alpaca-eval")
def alpaca_eval(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="MODEL.csv[.gz], or pairs of annotations.json and model_outputs.json."),
    ],
    difficulty: Annotated[Path, typer.Option("--difficulty", help="CSV: index, instruction_difficulty, ...")],
    regulariser: Annotated[Path, typer.Option("--regulariser", help="CSV: the prompted baseline's rows.")],
    folds: Annotated[Path | None, typer.Option("--folds", help="CSV: train_row, fold; else the reference's.")] = None,
    C: Annotated[float | None, typer.Option("--C", help="The penalty's C; else by cross-validation.")] = None,
    as_json: AsJson = False,
) -> None:
    """Win rate and length-controlled win rate against the baseline of AlpacaEval 2.0."""
    from afterbase.eval.judged.alpaca_eval import files
    from afterbase.eval.judged.alpaca_eval import score as method

    if C is not None and not 0 < C < float("inf"):
        raise UserError("C is a number above 0", got=str(C), remedy="name another, or leave --C out")
    instructions, gamed = files.Instructions(difficulty), files.read_regulariser(regulariser)
    total, offset = len(instructions.lengths), len(gamed.y_G)
    fold_R = files.read_folds(folds, n=offset + total) if folds else None
    scores = {}
    for answers in files.read_models(models, instructions):
        own_R = None if fold_R is None else fold_R[[*range(offset), *(offset + answers.index_N)]]
        scores[answers.model] = asdict(method.score(answers, gamed, C=C, folds_R=own_R))
        if (rated := scores[answers.model]["n_total"]) < total:
            _note(f"{answers.model}: {rated} of {total} instructions have a preference")
    _tell(scores, as_json)


@app.command(name="arena-hard")
def arena_hard(
    version: Annotated[Literal["0.1", "2.0"], typer.Option("--version", help="Whose rules: 0.1 or 2.0.")],
    battles: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Battles (CSV) or judgments (JSONL, or a judge's folder).")
    ] = None,
    category: Annotated[str | None, typer.Option("--category", help="hard_prompt or creative_writing.")] = None,
    style: Annotated[Path | None, typer.Option("--style", help="JSONL: control for the answers' style.")] = None,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", help="JSONL of judges' texts: read their labels instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Scores against the baseline of Arena-Hard, with their intervals."""
    from afterbase.eval.judged.arena_hard import files
    from afterbase.eval.judged.arena_hard import score as method

    if (battles is None) == (verdicts is None) or (verdicts and (category or style)):
        raise UserError(
            "it takes a file to score, or --verdicts alone",
            got="both" if battles and verdicts else "neither" if not verdicts else "--verdicts with other options",
            remedy="see `afterbase score arena-hard --help`",
        )
    if verdicts:
        found = files.agreement(verdicts, version)
        print(json.dumps(found) if as_json else sanitized("\n".join(f"{key}: {value}" for key, value in found.items())))
        return
    assert battles is not None
    read = files.read_battles(battles, version, category)
    if style:
        from afterbase.eval.judged.arena_hard.style import score as style_controlled

        scores = style_controlled(read.battles, *files.read_style(style, read.battles), version)
    else:
        scores = method.score(read.battles, version)
    for text in read.notes:
        _note(text)
    _tell({model: asdict(score) for model, score in scores.items()}, as_json)


@app.command(name="reward-bench")
def reward_bench(
    votes: Annotated[Path | None, typer.Argument(metavar="FILE", help="JSONL: subset, id, votes of each pair.")] = None,
    k: Annotated[int | None, typer.Option("--k", help="How many of a pair's votes count, the first; else all.")] = None,
    metrics: Annotated[
        Path | None, typer.Option("--metrics", help="JSON: a list of accuracies by subset, in place of votes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, unrounded.")] = False,
) -> None:
    """Sections and average of RewardBench, from votes by majority or from accuracies."""
    from afterbase.eval.judged.reward_bench import files
    from afterbase.eval.judged.reward_bench import score as method

    if (votes is None) == (metrics is None) or (metrics and k is not None):
        raise UserError(
            "it takes a file of votes, or --metrics alone",
            got="neither" if votes is None and metrics is None else "both, or --k with --metrics",
            remedy="see `afterbase score reward-bench --help`",
        )
    cases = files.read_metrics(metrics) if metrics else [files.read_accuracies(votes, k)] if votes else []
    for text in (text for _, texts in cases for text in texts):
        _note(text)
    scores = [
        {key: value for key, value in asdict(method.score(subsets)).items() if value is not None}
        for subsets, _ in cases
    ]
    if as_json:
        print(json.dumps(scores if metrics else scores[0], allow_nan=False))
        return
    names = [str(i) for i in range(1, len(scores) + 1)] if metrics else ["maj@k" if k is None else f"maj@{k}"]
    rows = {
        name: {**score.pop("sections"), **{key: value for key, value in score.items() if key != "subsets"}}
        for name, score in zip(names, scores, strict=True)
    }
    _tell(rows, as_json=False)


@app.command(name="reward-bench-2")
def reward_bench_2(
    rewards: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL: subset, id, scores, num_correct.")],
    as_json: AsJson = False,
) -> None:
    """Subsets and average of RewardBench 2, Ties among them, from the rewards of all answers."""
    from afterbase.eval.judged.reward_bench import files
    from afterbase.eval.judged.reward_bench import reward_bench_2 as method

    subsets, notes = files.read_rewards(rewards)
    for text in notes:
        _note(text)
    scores = method.score(subsets)
    if as_json:
        print(json.dumps(scores, allow_nan=False))
        return
    _tell({rewards.name: scores}, as_json=False)


@app.command(name="reward")
def reward(
    model: Annotated[str, typer.Argument(metavar="REWARD_MODEL", help="A reward model's folder, or hub:ORG/NAME.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Rows of pairs, or of prompts with an answer.")],
    out: Annotated[Path | None, typer.Option("--out", help="JSONL of scores, a line a row; else on stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """A score for each answer of a file; of pairs accuracy with its exact interval, margins and ties, by length too."""
    from afterbase.core.artifacts.atomic_writes import write_atomically
    from afterbase.eval.reward_scores import score_file
    from afterbase.model.folders import find
    from afterbase.reward.scalar import load_reward_model

    if out is not None and not out.parent.is_dir():
        raise UserError("--out lies in a folder that is there", got=str(out), remedy=f"make {out.parent} first")
    found = score_file(load_reward_model(find(model)), file)
    for row, rule in found.dropped:
        _note(f"left out {row}: {rule}")
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in found.rows]
    if out is not None:
        write_atomically(out, "".join(lines).encode())
    if as_json:
        dropped = [row._asdict() for row in found.dropped]
        scores = {} if out is not None else {"scores": found.rows}
        print(json.dumps({"rows": len(found.rows), "dropped": dropped, **(found.pairs or {}), **scores}))
        return
    if out is None:
        print("".join(lines), end="")
    if found.pairs is not None:
        parts = {f"{name} tokens": part for name, part in found.pairs.pop("by_tokens").items()}
        parts |= {f"chosen is {name}": part for name, part in found.pairs.pop("by_chosen").items()}
        _tell({"all": found.pairs, **parts}, as_json=False, digits=3, to_errors=out is None)


def _note(text: str) -> None:
    """What a reader of the numbers should know; not on stdout, which is for the numbers."""
    print(sanitized(f"note: {text}"), file=sys.stderr)


def _tell(scores: dict[str, dict[str, Any]], as_json: bool, *, digits: int = 2, to_errors: bool = False) -> None:
    """A row a model; with `to_errors` not on stdout."""
    if as_json:
        print(json.dumps(scores, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table("", *(Column(cell(name)) for name in next(iter(scores.values()))))
    for name, score in scores.items():
        table.add_row(
            cell(name),
            *(f"{x:.{digits}f}" if isinstance(x, float) else "" if x is None else cell(str(x)) for x in score.values()),
        )
    Console(stderr=to_errors).print(table)
