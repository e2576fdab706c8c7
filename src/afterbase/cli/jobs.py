"""`afterbase sft`, `dpo`, `kto`, `reward`, `grpo` and `distill`: one training in one line each.

Each is the function of the same name in `start_job.py`.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from afterbase.cli.parameters import Root
from afterbase.core.errors import UserError

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A shipped model, a Hugging Face folder, hub:ORG/NAME, or a run's name.")
]
Data = Annotated[list[str], typer.Argument(metavar="DATA...", help="Files, patterns or folders of rows.")]
Out = Annotated[Path, typer.Option("--out", help="The folder for the model: new, empty, or of this same training.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="A setting as key=value, such as epochs=3; may be repeated.")
]
RecipeOption = Annotated[Path | None, typer.Option("--recipe", help="A TOML file with settings.")]
LoraOption = Annotated[bool, typer.Option("--lora", help="Train a LoRA adapter, which is merged into the result.")]
AdapterOption = Annotated[bool, typer.Option("--adapter", help="Hand over the LoRA adapter alone, in peft's format.")]
PushOption = Annotated[
    str | None, typer.Option("--push", metavar="ORG/NAME", help="Upload the result to the hub, as a private model.")
]
LicenceOption = Annotated[
    str | None,
    typer.Option("--licence", help="Of an uploaded model, such as mit; needed where the base's card names none."),
]
Eval = Annotated[
    list[str] | None, typer.Option("--eval", help="Rows to measure on, never trained on; may be repeated.")
]
EvalEvery = Annotated[int | None, typer.Option("--eval-every", help="Steps between measurements.")]
TrainedTurns = Annotated[
    Literal["all", "last"] | None, typer.Option("--trained", help="The assistant's turns that are learnt.")
]
NoTurns = Annotated[
    str | None, typer.Option("--trained", hidden=True, help="Refused, with the reason: no choice in this training.")
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"] | None, typer.Option("--device", help="Where to train; auto unless given.")
]
LossOption = Annotated[
    Literal["sigmoid", "ipo", "simpo", "orpo", "cpo"] | None,
    typer.Option("--loss", help="The loss on pairs: sigmoid, which is DPO, unless given."),
]
Problems = Annotated[str, typer.Argument(metavar="PROBLEMS", help="A table of problems: a file, pattern or folder.")]
RewardOption = Annotated[
    list[str],
    typer.Option(
        "--reward",
        help="maths, exact, ..., FILE.py:FUNCTION, format, reward:FOLDER, judge:URL#MODEL, each with =WEIGHT "
        "behind it if not 1; may be repeated.",
    ),
]
Student = Annotated[str, typer.Argument(metavar="STUDENT", help="The model to train, named as in the other commands.")]
TeacherOption = Annotated[
    str, typer.Option("--teacher", help="Who answers the prompts: a model, or an endpoint as http://HOST/v1#MODEL.")
]
ChatTemplate = Annotated[
    str | None,
    typer.Option("--chat-template", help="Another chat template: a file of Jinja, or a name such as chatml."),
]
TemplateArgs = Annotated[
    str | None, typer.Option("--template-args", help="Settings that the model's chat template reads, as JSON.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Of orders and draws; 0 unless given.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with one line of JSON.")]


def sft(
    model: Model, data: Data, out: Out, set_: Set = None, recipe: RecipeOption = None, lora: LoraOption = False,
    adapter: AdapterOption = False, eval_: Eval = None, eval_every: EvalEvery = None,
    trained: TrainedTurns = None, chat_template: ChatTemplate = None, template_args: TemplateArgs = None,
    device: Device = None, seed: SeedOption = None, push: PushOption = None, licence: LicenceOption = None,
    root: Root = Path(), as_json: AsJson = False,
) -> None:  # fmt: skip
    """Fine-tune a model on rows of chats, questions and answers, or text."""
    _train("sft", locals())


def dpo(
    model: Model, data: Data, out: Out, loss: LossOption = None, set_: Set = None, recipe: RecipeOption = None,
    lora: LoraOption = False, adapter: AdapterOption = False, eval_: Eval = None, eval_every: EvalEvery = None,
    trained: NoTurns = None, chat_template: ChatTemplate = None, template_args: TemplateArgs = None,
    device: Device = None, seed: SeedOption = None, push: PushOption = None, licence: LicenceOption = None,
    root: Root = Path(), as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train a model on pairs of a chosen and a rejected answer, by DPO or its kin."""
    _train("dpo", locals())


def kto(
    model: Model, data: Data, out: Out, set_: Set = None, recipe: RecipeOption = None, lora: LoraOption = False,
    adapter: AdapterOption = False, eval_: Eval = None, eval_every: EvalEvery = None,
    trained: NoTurns = None, chat_template: ChatTemplate = None, template_args: TemplateArgs = None,
    device: Device = None, seed: SeedOption = None, push: PushOption = None, licence: LicenceOption = None,
    root: Root = Path(), as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train a model on single answers with a label each, good or bad."""
    _train("kto", locals())


def reward(
    model: Model, data: Data, out: Out, set_: Set = None, recipe: RecipeOption = None, lora: LoraOption = False,
    adapter: AdapterOption = False, eval_: Eval = None, eval_every: EvalEvery = None,
    trained: NoTurns = None, chat_template: ChatTemplate = None, template_args: TemplateArgs = None,
    device: Device = None, seed: SeedOption = None, push: PushOption = None, licence: LicenceOption = None,
    root: Root = Path(), as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train a reward model on pairs of a chosen and a rejected answer."""
    _train("reward", locals())


def grpo(
    model: Model, problems: Problems, out: Out, rewards: RewardOption, set_: Set = None, recipe: RecipeOption = None,
    lora: LoraOption = False, adapter: AdapterOption = False, eval_: Eval = None, eval_every: EvalEvery = None,
    trained: NoTurns = None, chat_template: ChatTemplate = None, template_args: TemplateArgs = None,
    device: Device = None, seed: SeedOption = None, push: PushOption = None, licence: LicenceOption = None,
    root: Root = Path(), as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train a model by reinforcement learning on a table of problems."""
    _train("grpo", locals())


def distill(
    student: Student, prompts: Data, out: Out, teacher: TeacherOption, set_: Set = None, recipe: RecipeOption = None,
    lora: LoraOption = False, adapter: AdapterOption = False, eval_: Eval = None, eval_every: EvalEvery = None,
    trained: TrainedTurns = None, chat_template: ChatTemplate = None, template_args: TemplateArgs = None,
    device: Device = None, seed: SeedOption = None, push: PushOption = None, licence: LicenceOption = None,
    root: Root = Path(), as_json: AsJson = False,
) -> None:  # fmt: skip
    """Fine-tune a model on another one's answers to prompts."""
    _train("distill", locals())


COMMANDS = (sft, dpo, kto, reward, grpo, distill)
_OTHER_NAMES = {"set_": "settings", "eval_": "eval", "rewards": "reward"}  # of arguments, in `start_job.py`


def _train(name: str, given: dict[str, Any]) -> None:
    """Call the function of that name in `start_job.py` with a command's arguments, and tell what it trained."""
    from afterbase.cli import start_job
    from afterbase.recipe.job_table import parse_settings

    options = {_OTHER_NAMES.get(key, key): value for key, value in given.items()}
    as_json = options.pop("as_json")
    options["settings"] = parse_settings(options["settings"] or [])
    options["template_args"] = _json(options["template_args"])
    trained = getattr(start_job, name)(**options)
    if as_json:
        print(json.dumps(trained.summary()))


def _json(text: str | None) -> dict[str, Any] | None:
    """The object that an option holds as JSON. UserError where it holds none."""
    try:
        value = {} if text is None else json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        remedy = """write --template-args '{"enable_thinking": false}'"""
        raise UserError("settings of a chat template are an object of JSON", got=f"`{text}`", remedy=remedy)
    return value or None
