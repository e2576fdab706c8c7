"""`afterbase init`: a recipe with comments, for a model and files of one's own.

What the rows are is told by their columns; learning rates follow the model's size (recipe/defaults.py).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from afterbase.core.errors import UserError, collect, refuse
from afterbase.data.formats.source_table import first_row
from afterbase.data.own.own_rows import OwnRows, Reading
from afterbase.data.own.own_sets import read_labelled_of, read_pairs_of, read_samples_of
from afterbase.data.own.row_forms import Form, form_of
from afterbase.data.problems.source_rows import Source
from afterbase.data.problems.sources import check_table, most_train
from afterbase.model.families import context_length, read_config
from afterbase.model.folders import find
from afterbase.model.size import parameter_count
from afterbase.recipe.defaults import Stage, learning_rate
from afterbase.recipe.load_recipe import load_recipe

Kind = Literal["sft", "preference", "reward-model", "rl", "post-training"]
KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
_BY_FORM: dict[Form, Kind] = {"preferences": "preference", "labelled": "preference", "prompts": "rl"}
_SCANNED = 1000  # rows that tell what a file holds
_TESTS, _ANSWER, _ROW = 48, 256, 2048  # problems kept for tests; tokens of an answer and of a packed row, at most


@dataclass(frozen=True)
class _Base:
    name: str
    parameters: int
    context: int


def init_recipe(model: str, files: Sequence[str], kind: Kind | None, out: Path) -> list[str]:
    """Write a recipe to `out`; gives what was found in each file, and what to do next.

    Raises UserError, or UserErrors, for a model or a file that cannot be read, and for an `out` that is there.
    """
    found: list[UserError] = []
    with collect(found):
        find(model)
    with collect(found):
        if out.exists():
            raise UserError("a new recipe is a new file", got=f"{out}, which is there", remedy="name another --out")
    if kind is None:
        with collect(found):
            kind = _kind_of(files[0])
    notes: list[str] = []
    kto = False
    for file in files if kind is not None else ():
        with collect(found):
            note, form = _look(file, kind)
            notes.append(note)
            kto = kto or form == "labelled"
    refuse(found)
    assert kind is not None
    folder = find(model)
    base = _Base(model, parameter_count(folder), context_length(read_config(folder)))
    text = "\n".join([*_head(kind, base, out), *_body(kind, base, files, kto=kto)]) + "\n"
    out.write_text(text, encoding="utf-8")
    load_recipe(out)
    return [*notes, f"{out}: a recipe of the kind {kind}", f"next: afterbase plan {out}"]


def _kind_of(file: str) -> Kind:
    """What rows of a file are for, by the columns of its first one."""
    columns = first_row(file.partition("=")[0], split="train").values
    form = form_of([name for name, value in columns.items() if value is not None])
    if form is None:
        raise UserError(
            "the names of columns tell what rows are for",
            got=f"{', '.join(map(str, columns))} in {file}",
            remedy=f"rename them as docs/data.md has it, or give --kind: {', '.join(KINDS)}",
        )
    return _BY_FORM.get(form, "sft")


def _look(file: str, kind: Kind) -> tuple[str, str]:
    """What a file holds, as a sentence, and its form. UserError where it does not suit the kind of recipe."""
    if kind in ("rl", "post-training"):
        return check_table(file, _source(file), most=_SCANNED), "problems"
    rows = OwnRows(files=(file,), limit=_SCANNED)
    reading: Reading[Any]
    if kind == "sft":
        reading = read_samples_of(rows, seed=0)
    elif kind == "preference" and _form(file) == "labelled":
        reading = read_labelled_of(rows, seed=0)
    else:
        reading = read_pairs_of(rows, seed=0)
    left_out = f", {len(reading.dropped)} of them left out ({reading.dropped[0].rule})" if reading.dropped else ""
    return f"{file}: {reading.form}, {reading.rows:,} rows looked at{left_out}", reading.form


def _form(file: str) -> Form | None:
    return form_of(list(first_row(file.partition("=")[0], split="train").values))


def _source(file: str) -> Source:
    """A table of problems: numbers are compared as mathematics, other answers as texts."""
    config = Source(path=file, verifier="exact").with_columns()
    answer = str(first_row(file, split="train").values[str(config.columns.answer)]).strip()
    numeric = re.fullmatch(r"[+-]?\d[\d,]*(\.\d+)?", answer) is not None
    return Source(path=file, verifier="maths" if numeric else "exact")


def _head(kind: Kind, base: _Base, out: Path) -> list[str]:
    name = re.sub(r"[^a-z0-9_-]+", "-", out.stem.lower()).strip("-_") or "own"
    return [
        f"# `afterbase plan {out}` shows what this recipe takes, `afterbase run {out}` runs it, or goes on with it.",
        "# docs/reference/recipes.md has every key. Learning rates are usual ones for this model's "
        f"{base.parameters / 1e6:,.0f}M parameters.",
        f'kind = "{kind}"',
        f'name = "{name}"',
        f"base = {_text(base.name)}",
        'device = "auto"  # or "cpu", "cuda"',
        "",
    ]


def _body(kind: Kind, base: _Base, files: Sequence[str], *, kto: bool) -> list[str]:
    match kind:
        case "sft":
            trained = 'trained = "all"  # or "last": which of the assistant\'s turns bear loss'
            return [*_data(files), trained, "", *_sft("sft", base)]
        case "preference":
            return [*_data(files), "", *_pairs("kto" if kto else "dpo", base)]
        case "reward-model":
            return [*_data(files), "", *_pairs("reward_model", base)]
        case "rl":
            return [*_sources(files), *_grpo("grpo", base), *_evaluation(base)]
    return [
        "# An open domain, which no rule judges: its problems and people's reviews are shipped.",
        "[domains]",
        "chat = { train = 160, test = 48 }",
        "",
        *_sources(files),
        "# Who writes the drafts that experts start from: better a stronger model than this one, or an endpoint:",
        '# [teacher.endpoint] with url = "https://HOST/v1" and model = "NAME", in place of `model`.',
        "[teacher]",
        f"model = {_text(base.name)}",
        f"max_new_tokens = {_answer(base)}",
        "",
        *_sft("expert.sft", base),
        *_grpo("expert.grpo", base),
        *_sft("sft", base),
        *_pairs("reward_model", base),
        *_grpo("grpo", base),
        *_evaluation(base),
    ]


def _data(files: Sequence[str]) -> list[str]:
    return [
        "[data]",
        f"files = [{', '.join(map(_text, files))}]  # FILE=0.5 takes half of its rows, FILE=2 takes them twice",
    ]


def _sources(files: Sequence[str]) -> list[str]:
    lines = []
    for number, file in enumerate(files):
        source = _source(file)
        rows = most_train(source)
        lines += [
            f"[sources.{'own' if len(files) == 1 else f'own_{number + 1}'}]",
            f"path = {_text(file)}",
            f'verifier = "{source.verifier}"  # or a function of yours: "FILE.py:FUNCTION"',
            'answer_by = ["box", "answer_is", "last_number"]  # where a response has its answer',
            f'train = {max(1, rows // 2)}  # or "all"',
            f"test = {max(1, min(_TESTS, rows // 10))}  # kept for tests, of the fifth that never is trained on",
            "",
        ]
    return lines


def _sft(table: str, base: _Base) -> list[str]:
    return [
        f"[{table}]",
        "epochs = 2",
        f"row_tokens = {max(64, min(_ROW, base.context))}  # several samples are packed into a row of so many tokens",
        *_optimisation(table, "sft", base),
    ]


def _pairs(table: Literal["dpo", "kto", "reward_model"], base: _Base) -> list[str]:
    beta = ["beta = 0.1  # how dear it is to leave the reference"] if table != "reward_model" else []
    return [
        f"[{table}]",
        "epochs = 1",
        "pairs_per_step = 8",
        "held_out = 0.1  # share of the prompts that the model is measured on",
        *beta,
        *_optimisation(table, table, base),
    ]


def _grpo(table: str, base: _Base) -> list[str]:
    return [
        f"[{table}]",
        "steps = 100",
        "prompts = 8  # of a step",
        "samples = 8  # of a prompt",
        "temperature = 1.0",
        f"max_new_tokens = {_answer(base)}  # of an answer",
        *_optimisation(table, "grpo", base),
    ]


def _optimisation(table: str, stage: Stage, base: _Base) -> list[str]:
    rate = learning_rate(stage, base.parameters, lora=False)
    return [f"[{table}.optimisation]", f"learning_rate = {rate!r}", "warmup_steps = 5", ""]


def _evaluation(base: _Base) -> list[str]:
    return ["[evaluation]", "samples = 4  # beside the greedy answer", f"max_new_tokens = {_answer(base)}"]


def _answer(base: _Base) -> int:
    return max(1, min(_ANSWER, base.context // 4))


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
