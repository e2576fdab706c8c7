"""Whether a recipe suits its models, their chat templates and this machine's devices: what needs torch to know."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from afterbase.core.chat.chat_template import FOLDED
from afterbase.core.chat.template_facts import template_of
from afterbase.core.errors import UserError, collect, refuse
from afterbase.core.tokens import prompt_ids
from afterbase.data.base_model import preparation_note, prepared_tokenizer
from afterbase.data.base_model_checks import refuse_unfit
from afterbase.data.domains import DOMAINS
from afterbase.data.system_prompts import system_prompt
from afterbase.model.families import context_length, read_config
from afterbase.model.folders import find, tokenizer_of
from afterbase.recipe import Job, Recipe, RlRecipe
from afterbase.reward.judge import Case, prompt_of


def check_model(recipe: Recipe | RlRecipe | Job) -> list[str]:
    """What the user should know of the models, which are folders that are there.

    UserError, or UserErrors, for all that does not suit them.
    """
    found: list[UserError] = []
    notes: list[str] = []
    settings = recipe.model_dump(exclude={"teacher"})
    with collect(found):
        _refuse_missing_cuda(settings)
    found += [
        UserError("GRPO samples and trains on the CPU", got=f"`{key}` = cuda", remedy=f"leave `{key}` out")
        for key in _keys_on_cuda(settings)
        if key.endswith("grpo.device")
    ]
    for model in dict.fromkeys((recipe.base, *(teacher.model for teacher in recipe.teachers()))):
        with collect(found):
            if model is not None:
                refuse_unfit(find(model))
    with collect(found):
        context = context_length(read_config(find(recipe.base)))
        refuse(_answers_beyond_context(settings, context))
    with collect(found):
        notes += _prepare(recipe) if isinstance(recipe, Job) else _refuse_prompts_that_no_template_takes(recipe)
    refuse(found)
    return notes


def _prepare(recipe: Job) -> list[str]:
    """The tokenizer and the chat template of a single training's base."""
    prepared_tokenizer(find(recipe.base), chat_template=recipe.chat_template, template_args=recipe.template_args)
    note = preparation_note(find(recipe.base), chat_template=recipe.chat_template)
    return [note] if note is not None else []


def _refuse_missing_cuda(settings: dict[str, Any]) -> None:
    keys = list(_keys_on_cuda(settings))
    if keys and not torch.cuda.is_available():
        raise UserError(
            "a device that a recipe names is there",
            got=f"`{keys[0]}` = cuda, and torch {torch.__version__} sees no CUDA device",
            remedy=f'set `{keys[0]}` to "auto" or "cpu", or install the driver and a torch that is built for it',
        )


def _keys_on_cuda(settings: dict[str, Any], name: str = "") -> Iterator[str]:
    """The keys of devices that are CUDA's, those of the outermost tables first."""
    if settings.get("device") == "cuda":
        yield f"{name}device"
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _keys_on_cuda(value, f"{name}{key}.")


def _answers_beyond_context(settings: dict[str, Any], context: float, name: str = "") -> Iterator[UserError]:
    """A stage leaves out each prompt that does not fit with its answer; an answer that leaves no room for any, here."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _answers_beyond_context(value, context, f"{name}{key}.")
        elif key == "max_new_tokens" and value >= context:
            yield UserError(
                "a prompt and its answer fit in the model's context",
                got=f"`{name}{key}` = {value}, and a context of {context} tokens",
                remedy=f"lower `{name}{key}`",
            )


def _refuse_prompts_that_no_template_takes(recipe: Recipe | RlRecipe) -> list[str]:
    """A template may refuse a prompt, or leave a part out: told now, and not when the drafts have been paid for.

    Gives what the user should know of templates that take their prompts otherwise than they were written.
    """
    found: list[UserError] = []
    notes: list[str] = []
    with collect(found):
        notes += _refuse_lost_prompts(find(recipe.base), list(_prompts(recipe)), _prepared(recipe))
    asked = {(t.model, system_prompt(t.system)) for t in recipe.teachers() if t.model is not None}
    for model, system in sorted(asked):
        with collect(found):
            folder = find(model)
            notes += _refuse_lost_prompts(folder, [("the teacher's", _asked(system))], tokenizer_of(folder))
    refuse(found)
    return list(dict.fromkeys(notes))


def _refuse_lost_prompts(
    folder: Path, prompts: Sequence[tuple[str, list[dict[str, str]]]], tokenizer: Any
) -> list[str]:
    for whose, messages in prompts:
        _try_template(folder, tokenizer, whose, messages)
    system = any(message["role"] == "system" for _, messages in prompts for message in messages)
    return [f"{folder}: {FOLDED}"] if system and not template_of(tokenizer).system else []


def _prompts(recipe: Recipe | RlRecipe) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Whose, and one conversation of each kind that the base's template will be given."""
    yield "a problem's", _asked(None)
    drafted = recipe.reasoning if isinstance(recipe, Recipe) else recipe.domains if recipe.sft is not None else ()
    for name in (name for name in drafted if name not in recipe.open_domains):
        teacher = recipe.teacher_of(name) if isinstance(recipe, Recipe) else None
        system = DOMAINS[name].REFLECTIVE_SYSTEM_PROMPT if teacher is None else system_prompt(teacher.system)
        yield f"`{name}`'s", _asked(system)
    if recipe.judge is not None and recipe.judge.asked.endpoint is None:
        case = Case(kind="score", question="Wherefore?", answers=("Thereupon.",))
        yield "a judge's", prompt_of(case, recipe.judge.asked.read_principles())


def _asked(system: str | None) -> list[dict[str, str]]:
    head = [] if system is None else [{"role": "system", "content": system}]
    return [*head, {"role": "user", "content": "Wherefore?"}]


def _prepared(recipe: Recipe | RlRecipe) -> Any:
    """The base's tokenizer, with the chat template that the recipe asks for."""
    if recipe.chat_template is None and not recipe.template_args:
        return tokenizer_of(find(recipe.base))
    return prepared_tokenizer(find(recipe.base), chat_template=recipe.chat_template, template_args=recipe.template_args)


def _try_template(folder: Path, tokenizer: Any, whose: str, messages: list[dict[str, str]]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=FOLDED)  # it becomes a note
            prompt_ids(tokenizer, messages)
    except UserError as error:
        system = next((m["content"] for m in messages if m["role"] == "system"), None)
        said = "without a system prompt" if system is None else f"with the system prompt `{system}`"
        raise UserError(
            "the model's chat template takes every prompt of the recipe",
            got=f"{folder}, {whose} prompt {said}: {error.rule}; {error.got}",
            remedy="put a `chat_template.jinja` that takes it into the folder, or use another model",
        ) from error
