"""`afterbase data`: cleaning sets of samples, hashing benchmarks that they may not hold, changing their form."""

from pathlib import Path
from typing import Annotated, Any

import typer

from afterbase.cli.parameters import Columns, columns_of
from afterbase.core import hub
from afterbase.core.sanitize import sanitized

app = typer.Typer(
    no_args_is_help=True, help="Look at your own rows; clean and mix them; hash benchmarks; change formats."
)
Sources = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, folders, or hub:ORG/NAME.")]


@app.command()
def clean(
    sources: Sources,
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    config: Annotated[Path | None, typer.Option("--config", help="A TOML file of rules (docs/data.md).")] = None,
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="Hashes of a benchmark to keep out; may be repeated.")
    ] = None,
    domain: Annotated[str, typer.Option("--domain", help="Of rows that name none.")] = "unnamed",
    preview: Annotated[bool, typer.Option("--preview", help="Show the mixture and write nothing.")] = False,
) -> None:
    """Filter, decontaminate, deduplicate and mix rows; those that leave are kept apart, with the reason."""
    from afterbase.core.config import load_toml
    from afterbase.core.progress import Progress
    from afterbase.data.clean.card import summary
    from afterbase.data.clean.clean import Cleaning
    from afterbase.data.clean.deliver import clean_files, look

    cleaning = Cleaning() if config is None else load_toml(config, Cleaning)
    with Progress().stage("clean") as line:

        def show(doing: str, done: int, total: int) -> None:
            line.update(done, total, now=doing)

        work = (_here(sources), out, cleaning, against or [])
        told = (
            look(*work, domain=domain, show=show) if preview else summary(clean_files(*work, domain=domain, show=show))
        )
    print(sanitized(told))
    if not preview:
        print(sanitized(f"{out}: samples.parquet, dropped.parquet, card.md, card.json"))


def _here(sources: list[Path]) -> list[Path]:
    """Files and folders; a set of the hub is downloaded."""
    return [hub.download_rows(str(s)) if str(s).startswith(hub.PREFIX) else s for s in sources]


@app.command(name="hash")
def hash_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A benchmark, as JSONL (.gz too).")],
    out: Annotated[Path, typer.Option("--out", help="The file to make.")],
    field: Annotated[list[str], typer.Option("--field", help="A key whose text is an item; may be repeated.")],
    name: Annotated[str | None, typer.Option("--name", help="Of the benchmark; otherwise the file's.")] = None,
    n: Annotated[int, typer.Option("--n", help="Words that are compared at once.", min=1)] = 8,
) -> None:
    """Hash the texts of a benchmark, so that sets can be kept clean of it without its text."""
    from afterbase.data.clean.decontaminate import benchmark_texts, hash_benchmark, save_benchmark

    texts = benchmark_texts(source, field)
    save_benchmark(out, hash_benchmark(name or source.name.split(".")[0], texts, n=n))
    print(sanitized(f"{out}: {len(texts):,} items"))


@app.command()
def export(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet, JSONL, or a folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file or folder to make.")],
    form: Annotated[str, typer.Option("--to", help="parquet, chat, sharegpt, or datasets (a folder).")],
    domain: Annotated[str, typer.Option("--domain", help="Of rows that name none.")] = "unnamed",
) -> None:
    """Write samples in another form; every form can be read again."""
    from typing import cast, get_args

    from afterbase.core.errors import UserError
    from afterbase.data.formats.export import Form, export
    from afterbase.data.formats.read import read_tables

    if form not in get_args(Form):
        raise UserError("`--to` is one of the forms", got=form, remedy=f"use one of {', '.join(get_args(Form))}")
    rows = export(read_tables(source, domain=domain), out, cast(Form, form))
    print(sanitized(f"{out}: {rows:,} rows"))


@app.command()
def preview(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Files, folders, patterns; PATH=0.5 uses half."),
    ],
    model: Annotated[str, typer.Option("--model", help="A model folder or a shipped model: whose tokens are shown.")],
    trained: Annotated[str, typer.Option("--trained", help="Which assistant turns bear loss: all, or last.")] = "all",
    form: Annotated[str, typer.Option("--form", help="Of the rows; otherwise told by their columns.")] = "auto",
    columns: Columns = None,
    chat_template: Annotated[
        str | None, typer.Option("--chat-template", help="A Jinja file or a shipped template's name.")
    ] = None,
    template_args: Annotated[
        str | None, typer.Option("--template-args", help="What the template is given, as a JSON object.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the first examples as JSON.")] = False,
) -> None:
    """Show what training would see of your rows: their form, what is left out and why, and the loss mask."""
    import json

    from afterbase.core.config import config_of
    from afterbase.data.own.own_rows import OwnRows
    from afterbase.data.own.preview_rows import preview as preview_of
    from afterbase.data.own.preview_text import show
    from afterbase.model.folders import find

    theirs = {column: role for role, column in columns_of(columns).items()}
    settings = {"files": sources, "form": form, "trained": trained, "columns": theirs}
    rows = config_of(settings, OwnRows, "afterbase data preview")
    tokenizer = _tokenizer(find(model), chat_template, _json_object("--template-args", template_args))
    found = preview_of(rows, tokenizer)
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
    else:
        show(found, tokenizer)


def _tokenizer(folder: Path, chat_template: str | None, template_args: dict[str, Any] | None) -> Any:
    from afterbase.model.folders import tokenizer_of

    if chat_template is not None or template_args:
        from afterbase.data.base_model import prepared_tokenizer  # here: it imports torch

        return prepared_tokenizer(folder, chat_template=chat_template, template_args=template_args)
    return tokenizer_of(folder)


def _json_object(option: str, text: str | None) -> dict[str, Any] | None:
    import json

    from afterbase.core.errors import UserError

    try:
        value = None if text is None else json.loads(text)
    except ValueError:
        value = text
    if value is not None and not isinstance(value, dict):
        raise UserError(f"`{option}` is a JSON object", got=str(text), remedy=f"write {option} '{{\"name\": value}}'")
    return value
