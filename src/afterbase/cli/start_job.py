"""One training as one call: `afterbase.sft(...)` and its siblings, which the commands of the same names call.

What is not said is chosen by the size of the model and of the data (recipe/defaults.py), printed, and written down in
the recipe that the run leaves: OUT/recipe.toml repeats it. A call that was interrupted goes on where it stopped.
"""

import difflib
import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, get_args

from afterbase.cli.recipes.last_run import Handed
from afterbase.cli.run_ending import Finished
from afterbase.cli.start_run import alone, call_of, repeated_call
from afterbase.cli.trained import Trained
from afterbase.core import distributed as ranks
from afterbase.core.config import config_of
from afterbase.core.errors import UserError
from afterbase.core.progress import Silent
from afterbase.core.sanitize import sanitized
from afterbase.core.store import Store
from afterbase.data.own.own_rows import OwnRows
from afterbase.data.own.row_lengths import row_lengths
from afterbase.model.folders import find
from afterbase.model.size import parameter_count
from afterbase.recipe import (
    DistillationRecipe,
    GrpoRecipe,
    Job,
    PreferenceRecipe,
    RewardModelRecipe,
    SftRecipe,
    defaults,
)
from afterbase.recipe.job_defaults import BaseFacts, chosen, job_defaults
from afterbase.recipe.job_table import Table, as_toml, merged, nested, table_of
from afterbase.recipe.run_settings import usable_cores
from afterbase.report.push_model import push_model, refuse_push
from afterbase.reward.named import rewards_named

Rows = str | Path | Iterable[str | Path] | Iterable[Mapping[str, Any]]
"""A file, a pattern or a folder of rows, or several; or the rows: dictionaries, or a `datasets.Dataset`."""
Reward = str | Callable[..., Any]
"""A verifier, a rule or FILE.py:FUNCTION by its name (reward/named.py), or a function."""
Loss = Literal["sigmoid", "ipo", "simpo", "orpo", "cpo"]

_OF_ALL = ("device", "chat_template", "template_args")  # options that are keys of every recipe
_OF_THE_COMMAND = ("kind", "name", "base")  # keys of a recipe that follow from the command and its arguments
_SETTINGS = "the settings of this training"  # what messages call the source of a faulty one
_HEAD = """Written by the run that made this folder. To repeat it, from the folder where it ran:
    afterbase run {name}"""


class Options(TypedDict, total=False):
    """What every training may be told beside its model, its data and where to write."""

    settings: Mapping[str, Any]
    """Any keys of its recipe, dotted or nested: {"epochs": 3, "sft.optimisation.betas": [0.9, 0.99]}."""
    recipe: str | Path | None
    """A TOML file with many such settings."""
    eval: Rows | None
    """Rows that are never trained on and that the model is measured on."""
    eval_every: int | None
    """Steps between these measurements."""
    device: Literal["auto", "cpu", "cuda"] | None
    """Where it trains; on CUDA where there is a device unless told otherwise."""
    lora: bool
    """Train a LoRA adapter in place of all weights."""
    adapter: bool
    """Hand over the adapter alone, in peft's format, in place of the model that it is merged into."""
    push: str | None
    """ORG/NAME: upload the result to the hub, as a private model."""
    licence: str | None
    """The licence of an uploaded model, where the base's card names none, or another one."""
    chat_template: str | None
    """Another chat template for the model: a file of Jinja, or a shipped one's name, such as `chatml`."""
    template_args: Mapping[str, Any] | None
    """Settings that the model's chat template reads, such as {"enable_thinking": False}."""
    trained: Literal["all", "last"] | None
    """The assistant's turns that bear loss, in `sft` and `distill`; all unless told otherwise."""
    seed: int | None
    root: str | Path
    """Where `runs/` and `store/` lie; the working directory unless told otherwise."""


def sft(model: str | Path, data: Rows, *, out: str | Path, **options: Unpack[Options]) -> Trained:
    """Supervised fine-tuning of a model on rows of chats, questions and answers, or text; the model is left in `out`.

    Raises UserError for whatever is wrong with rows or settings, before anything is trained.

    >>> import afterbase as ab
    >>> rows = [{"prompt": f"{n} + 1?", "completion": str(n + 1)} for n in range(20)]
    >>> trained = ab.sft("tiny-v3", rows, out="tuned", settings={"epochs": 1, "threads": 1})  # doctest: +SKIP
    >>> trained.last_loss < trained.first_loss  # doctest: +SKIP
    True
    """
    return _Start(SftRecipe, "sft", str(model), Path(out), options).on_rows(data)


def dpo(
    model: str | Path, data: Rows, *, out: str | Path, loss: Loss | None = None, **options: Unpack[Options]
) -> Trained:
    """Training on pairs of a chosen and a rejected answer: DPO, or one of its kin by `loss`.

    >>> pair = {"prompt": "1 + 1?", "chosen": "2", "rejected": "3"}
    >>> dpo("tiny-v3", [pair] * 20, out="preferred", loss="ipo")  # doctest: +SKIP
    """
    said = {} if loss is None else {"dpo": {"loss": loss}}
    return _Start(PreferenceRecipe, "dpo", str(model), Path(out), options).on_rows(data, said)


def kto(model: str | Path, data: Rows, *, out: str | Path, **options: Unpack[Options]) -> Trained:
    """Training on single answers with a label each, good or bad: KTO.

    >>> row = {"prompt": "1 + 1?", "completion": "2", "label": True}
    >>> kto("tiny-v3", [row] * 20, out="preferred")  # doctest: +SKIP
    """
    return _Start(PreferenceRecipe, "kto", str(model), Path(out), options).on_rows(data)


def reward(model: str | Path, data: Rows, *, out: str | Path, **options: Unpack[Options]) -> Trained:
    """A reward model, from pairs of a chosen and a rejected answer: a sequence classifier with one label.

    >>> pair = {"prompt": "1 + 1?", "chosen": "2", "rejected": "3"}
    >>> reward("tiny-v3", [pair] * 20, out="judge")  # doctest: +SKIP
    """
    return _Start(RewardModelRecipe, "reward_model", str(model), Path(out), options).on_rows(data)


def grpo(
    model: str | Path,
    problems: Rows,
    *,
    reward: Reward | Sequence[Reward],
    out: str | Path,
    **options: Unpack[Options],
) -> Trained:
    """Reinforcement learning on a table of problems; `reward` is one or several: a verifier's name, or a function.

    A function takes `prompt`, `response`, `row` and gives a number, a bool or a Verdict (docs/rewards.md).

    >>> def short(*, response, **context):
    ...     return 1 / (1 + len(response))
    >>> grpo("tiny-v3", [{"prompt": "1 + 1?"}] * 8, reward=short, out="shorter")  # doctest: +SKIP
    """
    names = [reward] if isinstance(reward, str) or callable(reward) else list(reward)
    verifier, rules = rewards_named(names)
    start = _Start(GrpoRecipe, "grpo", str(model), Path(out), options)
    if (trained := options.get("trained")) is not None:
        raise UserError(
            "which turns bear loss is a choice of fine-tuning alone",
            got=f"`trained` = {trained}",
            remedy="leave it out: in reinforcement learning the sampled answers bear it",
        )
    said: Table = {"problems": {"path": start.only_file(problems), "verifier": verifier}}
    if rules is not None:
        given = rules.model_dump(mode="json", exclude_unset=True)
        said["grpo"] = {"rewards": {name: rule for name, rule in given.items() if rule}}
    if (measured := options.get("eval")) is not None:
        said["eval"] = {"path": start.only_file(measured), "verifier": verifier}
    return start.run(said)


def distill(
    student: str | Path, prompts: Rows, *, teacher: str | Path, out: str | Path, **options: Unpack[Options]
) -> Trained:
    """Supervised fine-tuning on a teacher's answers; `teacher` is a model, or an endpoint as http://HOST/v1#MODEL.

    >>> prompts = [{"prompt": f"{n} + 1?"} for n in range(20)]
    >>> distill("tiny-v3", prompts, teacher="http://localhost:8000/v1#big", out="small")  # doctest: +SKIP
    """
    address, _, name = str(teacher).partition("#")
    asked: Table = {"model": address}
    if address.startswith(("http://", "https://")):
        if not name:
            raise UserError(
                "an endpoint has a model's name",
                got=f"{teacher}",
                remedy=f"write {address}#MODEL, as the server calls it",
            )
        asked = {"endpoint": {"url": address, "model": name}}
    return _Start(DistillationRecipe, "sft", str(student), Path(out), options).on_rows(prompts, {"teacher": asked})


@dataclass(frozen=True)
class _Start:
    """One training before it begins."""

    kind: type[Job]
    stage: defaults.Stage
    model: str
    out: Path
    options: Options

    def __post_init__(self) -> None:
        """UserError for an option that there is not: what Python would take without a word."""
        for name in self.options:
            if name not in Options.__annotations__:
                near = difflib.get_close_matches(name, Options.__annotations__, n=1)
                hint = f"did you mean `{near[0]}`? " if near else ""
                raise UserError(
                    "a training takes the options that it names",
                    got=f"`{name}`",
                    remedy=f"{hint}options are {', '.join(Options.__annotations__)}; all else goes into `settings`",
                )

    @property
    def _root(self) -> Path:
        return Path(self.options.get("root") or ".")

    def on_rows(self, data: Rows, said: Table | None = None) -> Trained:
        """Run it on rows of one's own, and on what else is said."""
        table: Table = {"data": {"files": self._files(data)}}
        if (measured := self.options.get("eval")) is not None:
            table["data"]["eval"] = {"files": self._files(measured)}
        if (trained := self.options.get("trained")) is not None:
            table["data"]["trained"] = trained
            if measured is not None:
                table["data"]["eval"]["trained"] = trained
        return self.run(merged(table, said or {}))

    def run(self, given: Table) -> Trained:
        """Choose what is not said, check all of it, make the data, train, hand over; or find that all of it is done."""
        folder, name = find(self.model), _run_name(self.out, self._root)
        head = {"kind": kind_name(self.kind), "name": name, "base": self.model}
        said = merged(self._said(given), head)
        adapter, repo = self.options.get("adapter", False), self.options.get("push")
        call = call_of(stage=self.stage, said=said, adapter=adapter, cores=usable_cores())
        finished = repeated_call(self.kind, name, self._root, Handed("", self.out, adapter, call))
        if finished is None:
            finished = self._train(said, head, folder, call)
        if finished is not None and repo is not None:
            address = push_model(self.out, repo, licence=self.options.get("licence"), public=False)
            print(f"uploaded: {sanitized(address)}", flush=True)
        return Trained.of(finished, self._root / "runs" / name / "report.html", self.out)

    def _train(self, said: Table, head: Table, folder: Path, call: str) -> Finished | None:
        """Train on what was said; None for all ranks but the first."""
        from afterbase.cli.run_recipe import run_loaded  # here: these import what trains
        from afterbase.model.families import context_length, read_config
        from afterbase.run_jobs import job_data

        base = BaseFacts(self.model, parameter_count(folder), context_length(read_config(folder)))
        # Wrong settings first of all, then wrong rows.
        draft = config_of(merged(job_defaults(self.stage, base, said, None), said), self.kind, _SETTINGS)
        with alone(self._root, head["name"]):
            ranks.start()
            store = Store(self._root / "store", progress=Silent(), threads=draft.threads)
            lengths = row_lengths(job_data(store, draft, draft.seeds[0]).rows)
            table = merged(job_defaults(self.stage, base, said, lengths), said)
            recipe = config_of(table, self.kind, _SETTINGS)
            table = merged({**head, "threads": recipe.threads, "seeds": list(recipe.seeds)}, table)
            _refuse_other_settings(self.out, table)
            adapter = self.options.get("adapter", False)
            if adapter and "lora" not in table[self.stage]:
                raise UserError(
                    "--adapter hands over a LoRA adapter", got="a training of all weights", remedy="add --lora"
                )
            if (repo := self.options.get("push")) is not None:
                refuse_push(folder, repo, licence=self.options.get("licence"))
            text = as_toml(table, head=_HEAD.format(name=self.out / "recipe.toml"))
            told = chosen(self.stage, base, table, lengths)
            finished = run_loaded(recipe, self._root, Handed(text, self.out, adapter, call), chosen=told)
            ranks.end()
        return finished

    def _said(self, given: Table) -> Table:
        """What the user said: a recipe file, then arguments, then options, then single settings."""
        options, stage, said = self.options, self.stage, {}
        if (path := options.get("recipe")) is not None:
            said = nested(_file(Path(path)), self.kind, stage)
        said = merged(said, given)
        if (seed := options.get("seed")) is not None:
            said["seeds"] = [seed]
        for key, place in (*((name, ()) for name in _OF_ALL), ("eval_every", (stage,))):
            if (value := options.get(key)) is not None:
                said = merged(said, {place[0]: {key: value}} if place else {key: value})
        if options.get("lora") and "lora" not in table_of(said, stage):
            said = merged(said, {stage: {"lora": {}}})
        settings = options.get("settings") or {}
        if named := [key for key in _OF_THE_COMMAND if key in settings]:
            raise UserError(
                "a command's own model, kind and folder are no settings",
                got=f"`{named[0]}` = {settings[named[0]]}",
                remedy="name the model as the command's first argument, and the folder with --out",
            )
        return merged(said, nested(settings, self.kind, stage))

    def _files(self, rows: Rows) -> list[str]:
        """Names of files; rows in memory are written below the store first."""
        if isinstance(rows, str | Path):
            return [str(rows)]
        if isinstance(rows, Mapping):
            raise UserError(
                "rows are names of files, or a list of dictionaries",
                got=f"a {type(rows).__name__} with the keys {', '.join(map(str, rows))[:80]}",
                remedy="put a single row into a list; of several splits name one, such as data['train']",
            )
        some = list(rows)
        names = [str(name) for name in some if isinstance(name, str | Path)]
        if len(names) == len(some):
            return names
        told = [row for row in some if not isinstance(row, str | Path)]
        return list(OwnRows.of(told, store=Store(self._root / "store")).files)

    def only_file(self, rows: Rows) -> str:
        """The name of one file, which a table of problems is. UserError for several."""
        files = self._files(rows)
        if len(files) != 1:
            raise UserError("problems come as one table", got=f"{len(files)} files", remedy="name one, or a pattern")
        return files[0]


def kind_name(kind: type[Job]) -> str:
    """What a recipe's `kind` says of a job."""
    return get_args(kind.model_fields["kind"].annotation)[0]


def _file(path: Path) -> Table:
    """A file of settings; a whole recipe's kind, name and base are the command's."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError("settings come from a TOML file", got=f"{path}: {error}", remedy="correct it") from error
    return {key: value for key, value in table.items() if key not in _OF_THE_COMMAND}


def _run_name(out: Path, root: Path) -> str:
    """The run's name: the folder's path below the root, or its own name where it lies elsewhere."""
    whole = out.absolute()
    parts = whole.relative_to(root.absolute()).parts if whole.is_relative_to(root.absolute()) else (whole.name,)
    said = "-".join(parts).lower()
    # Letters that a name may not have would make one name of several folders.
    tail = "" if said.isascii() else f"-{hashlib.sha256(said.encode()).hexdigest()[:8]}"
    return f"{re.sub(r'[^a-z0-9_-]+', '-', said).strip('-_')}{tail}".strip("-_") or "model"


def _refuse_other_settings(out: Path, table: Table) -> None:
    """A folder holds the model of one run: another's is not replaced in silence."""
    path = out / "recipe.toml"
    if not path.is_file():
        return
    there = tomllib.loads(path.read_text())
    other = sorted(key for key in {*table, *there} if table.get(key) != there.get(key))
    if other:
        raise UserError(
            "a folder holds the model of one training",
            got=f"{out}, whose recipe.toml has another {', '.join(f'`{key}`' for key in other)}",
            remedy="name another folder with --out, or delete this one",
        )
