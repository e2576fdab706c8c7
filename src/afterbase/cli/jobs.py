"""`afterbase sft`: one training in one line, each the function of the same name in `start_job.py`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from afterbase.cli.parameters import Root

if TYPE_CHECKING:
    from afterbase.cli.start_job import Options, Trained

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model, or a Hugging Face folder.")]
Data = Annotated[list[str], typer.Argument(metavar="DATA...", help="Files, patterns or folders of rows.")]
Out = Annotated[Path, typer.Option("--out", help="The folder for the model: new, empty, or of this same training.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="A setting as key=value, such as epochs=3; may be repeated.")
]
RecipeOption = Annotated[Path | None, typer.Option("--recipe", help="A TOML file with settings.")]
LoraOption = Annotated[bool, typer.Option("--lora", help="Train a LoRA adapter, which is merged into the result.")]
Eval = Annotated[
    list[str] | None, typer.Option("--eval", help="Rows to measure on, never trained on; may be repeated.")
]
EvalEvery = Annotated[int | None, typer.Option("--eval-every", help="Steps between measurements.")]
TrainedTurns = Annotated[
    Literal["all", "last"] | None, typer.Option("--trained", help="The assistant's turns that are learnt.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Of orders and draws; 0 unless given.")]
AsJson = Annotated[bool, typer.Option("--json", help="End with one line of JSON.")]


def sft(
    model: Model, data: Data, out: Out, set_: Set = None, recipe: RecipeOption = None, lora: LoraOption = False,
    eval_: Eval = None, eval_every: EvalEvery = None, trained: TrainedTurns = None, seed: SeedOption = None,
    root: Root = Path(), as_json: AsJson = False,
) -> None:  # fmt: skip
    """Fine-tune a model on rows of chats, questions and answers, or text."""
    from afterbase.cli import start_job
    from afterbase.recipe.job_table import parse_settings

    options: Options = {
        "settings": parse_settings(set_ or []), "recipe": recipe, "lora": lora, "eval": eval_,
        "eval_every": eval_every, "trained": trained, "seed": seed, "root": root,
    }  # fmt: skip
    _tell(start_job.sft(model, data, out=out, **options), as_json)


def _tell(trained: "Trained", as_json: bool) -> None:
    if as_json:
        print(json.dumps(trained.summary()))
