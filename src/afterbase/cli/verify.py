"""`afterbase verify`: each verifier on a file of cases, for people and for other programs (`--json`)."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from afterbase.cli.parameters import Columns, columns_of
from afterbase.core.sanitize import sanitized

app = typer.Typer(no_args_is_help=True, help="Judge the answers in a JSONL file with one verifier.")
Cases = Annotated[Path, typer.Argument(metavar="FILE", help="JSONL, one case a line; may be gzipped.")]
AsJson = Annotated[bool, typer.Option("--json", help="As one JSON object.")]


@app.command()
def maths(cases: Cases, as_json: AsJson = False) -> None:
    """Whether `pred` is worth as much as `gold`: rows {kind, gold, pred, expected}."""
    from afterbase.verify.cases.maths_cases import agreement

    _tell(agreement(cases), as_json)


@app.command()
def language(cases: Cases, as_json: AsJson = False) -> None:
    """In which language each `text` is: rows {text}; an ISO 639-1 code, `mixed`, or `none`."""
    from afterbase.verify.cases.language_cases import languages

    _tell(languages(cases), as_json)


@app.command()
def drop(cases: Cases, as_json: AsJson = False) -> None:
    """Whether DROP's exact match and F1 are as published: rows {prediction, gold, em, f1}."""
    from afterbase.verify.cases.drop_cases import agreement

    _tell(agreement(cases), as_json)


@app.command()
def ifeval(cases: Cases, as_json: AsJson = False) -> None:
    """Whether `response` follows an instruction of IFEval: rows {instruction_id, kwargs, response, expected}."""
    from afterbase.verify.cases.ifeval_cases import agreement

    _tell(agreement(cases), as_json)


@app.command()
def answers(cases: Cases, as_json: AsJson = False) -> None:
    """Whether answers of any kind are right: rows {id, verifier, spec, response}, the spec as in a problem."""
    from afterbase.verify.cases.answers import judged

    _tell(judged(cases, lambda line: print(sanitized(line), file=sys.stderr)), as_json)


@app.command()
def audit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recipe, or with --verifier a table of yours.")],
    verifier: Annotated[
        str | None,
        typer.Option("--verifier", help="maths, exact, choice ..., FILE.py:FUNCTION or MODULE:FUNCTION."),
    ] = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """A recipe's verifiers against their own right answers; or one verifier against right and wrong ones of a table."""
    if verifier is not None:
        from afterbase.eval.audit_table import audit_table

        _tell_audit(audit_table(file, verifier, columns_of(columns)), as_json)
        return
    from afterbase.cli.audit import audit as audited

    _tell_audit(audited(file), as_json)


@app.command()
def code(
    cases: Cases,
    as_json: AsJson = False,
    unsafe: Annotated[bool, typer.Option("--unsafe", help="Run without isolation: only what you trust.")] = False,
) -> None:
    """Whether programs print what they should: rows {id, language, program, tests: [{stdin, stdout}]}."""
    from afterbase.sandbox import ProgramRunner, find_confinement, remote_or, worker_count
    from afterbase.verify.cases.program_cases import judged

    runner = remote_or(lambda: ProgramRunner(confinement=find_confinement(unsafe=unsafe), workers=worker_count()))
    _tell(judged(cases, runner.verdicts, lambda line: print(sanitized(line), file=sys.stderr)), as_json)


def _tell(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(_json(result))
        return
    for key, value in result.items():
        if isinstance(value, list):
            for item in value:
                print(sanitized(_json(item)))
        else:
            print(sanitized(f"{key}: {value}"))


def _tell_audit(result: dict[str, Any], as_json: bool) -> None:
    """What an audit found, in a line each for what was refused, accepted and failed."""
    if as_json:
        print(_json(result))
        return
    for name, said in result.items():
        form = f", as {said['form']}" if said.get("form") else ""
        print(sanitized(f"{name}: {said['n']} right answers{form}, judged by {said['verifier']}"))
        for line in _audit_lines(said):
            print(sanitized(f"  {line}"))


def _audit_lines(said: dict[str, Any]) -> Iterator[str]:
    if said["n"]:
        share, low, high = (f"{100 * said[key]:.1f}" for key in ("false_negative_rate", "low", "high"))
        yield f"right answers refused: {said['rejected']} ({share} %, 95 % interval {low} to {high})"
    if said["first"] is not None:
        yield f"the first of them: {said['first']}"
    for kind, found in said.get("wrong", {}).items():
        first = f"; the first: {found['first']}" if found["first"] is not None else ""
        yield f"wrong answers accepted, {kind}: {found['accepted']} of {found['n']}{first}"
    for reason, count in said.get("failed", {}).items():
        yield f"failed, {reason}: {count}"
    if said.get("first_failure") is not None:
        yield f"the first failure: {said['first_failure']}"
    if (seconds := said.get("seconds")) is not None:
        yield f"a call takes {1000 * seconds['median']:.1f} ms (median), {1000 * seconds['most']:.1f} ms at most"


def _json(value: Any) -> str:
    """As JSON; half a surrogate pair, which no encoding has, as its escape."""
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
