"""What is tried before a recipe begins: all that can be known to fail later is refused now, in one sentence."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from afterbase.core.errors import UserError
from afterbase.core.tokens import prompt_ids
from afterbase.data.domains import DOMAINS
from afterbase.data.generate.open_domains import reviewed_rows
from afterbase.data.problems.problems import refuse_rejected_golds
from afterbase.data.review.review_stage import guideline_text
from afterbase.data.system_prompts import system_prompt
from afterbase.model.families import context_length, read_config
from afterbase.model.folders import find
from afterbase.recipe import Recipe, RlRecipe
from afterbase.reward.judge import Case, prompt_of
from afterbase.sandbox import URL, missing_isolation

_GOLDS = 20  # problems a domain whose gold is verified before anything is trained
_SCORERS, _PROGRAMS = ("maths", "reasoning_gym"), ("python", "program")


def preflight(recipe: Recipe | RlRecipe) -> list[str]:
    """Refuse early what would fail late; gives what the user should know before it begins."""
    context = context_length(read_config(find(recipe.base)))
    _refuse_answers_beyond_context(recipe.model_dump(exclude={"teacher"}), context)
    if recipe.judge is not None:
        recipe.judge.asked.refuse_unready()
    _refuse_prompts_that_no_template_takes(recipe)
    _refuse_missing_walls(recipe)
    notes = []
    for name, policy in recipe.review.items() if isinstance(recipe, Recipe) else ():
        guideline_text(policy)
        drafts = len(reviewed_rows(name))
        reviewed = policy.reviewed_of(drafts)
        notes.append(
            f"People review {reviewed} of {drafts} {name} drafts, {policy.twice_of(reviewed)} of them twice, "
            f"with `afterbase review {recipe.name}`; the run waits for them."
        )
    for name in recipe.domains:
        rng = random.Random(0)
        refuse_rejected_golds([DOMAINS[name].problem(rng) for _ in range(_GOLDS)])
    return notes


def _refuse_answers_beyond_context(settings: dict[str, Any], context: float, name: str = "") -> None:
    """A stage leaves out each prompt that does not fit with its answer; an answer that leaves no room for any, here."""
    for key, value in settings.items():
        if isinstance(value, dict):
            _refuse_answers_beyond_context(value, context, f"{name}{key}.")
        elif key == "max_new_tokens" and value >= context:
            raise UserError(
                "a prompt and its answer fit in the model's context",
                got=f"`{name}{key}` = {value}, and a context of {context} tokens",
                remedy=f"lower `{name}{key}`",
            )


def _refuse_prompts_that_no_template_takes(recipe: Recipe | RlRecipe) -> None:
    """A template may refuse a system prompt, or leave it out: told now, and not when the drafts have been paid for."""
    base = find(recipe.base)
    tokenizer = _tokenizer(base)
    for whose, messages in _prompts(recipe):
        _try_template(base, tokenizer, whose, messages)
    teacher = recipe.teacher if isinstance(recipe, Recipe) else None
    if teacher is not None and teacher.model is not None:
        folder = find(teacher.model)
        _try_template(folder, _tokenizer(folder), "the teacher's", _asked(system_prompt(teacher.system)))


def _prompts(recipe: Recipe | RlRecipe) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Whose, and one conversation of each kind that the base's template will be given."""
    yield "a problem's", _asked(None)
    teacher = recipe.teacher if isinstance(recipe, Recipe) else None
    drafted = recipe.reasoning if isinstance(recipe, Recipe) else recipe.domains if recipe.sft is not None else ()
    for name in (name for name in drafted if name not in recipe.open):
        system = DOMAINS[name].REFLECTIVE_SYSTEM_PROMPT if teacher is None else system_prompt(teacher.system)
        yield f"`{name}`'s", _asked(system)
    if recipe.judge is not None and recipe.judge.asked.endpoint is None:
        case = Case(kind="score", question="Wherefore?", answers=("Thereupon.",))
        yield "a judge's", prompt_of(case, recipe.judge.asked.read_principles())


def _asked(system: str | None) -> list[dict[str, str]]:
    head = [] if system is None else [{"role": "system", "content": system}]
    return [*head, {"role": "user", "content": "Wherefore?"}]


def _tokenizer(folder: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds
        raise UserError(
            "a model folder has its tokenizer",
            got=f"{folder}: {type(error).__name__}: {str(error)[:200]}",
            remedy="put the tokenizer's files into the folder, or use another model",
        ) from error


def _try_template(folder: Path, tokenizer: Any, whose: str, messages: list[dict[str, str]]) -> None:
    try:
        prompt_ids(tokenizer, messages)
    except UserError as error:
        system = next((m["content"] for m in messages if m["role"] == "system"), None)
        said = "without a system prompt" if system is None else f"with the system prompt `{system}`"
        raise UserError(
            "the model's chat template takes every prompt of the recipe",
            got=f"{folder}, {whose} prompt {said}: {error.rule}; {error.got}",
            remedy="put a `chat_template.jinja` that takes it into the folder, or use another model",
        ) from error


def _refuse_missing_walls(recipe: Recipe | RlRecipe) -> None:
    """What a model writes is run and scored behind walls; programs may be run by a server elsewhere."""
    here = _SCORERS if os.environ.get(URL) else (*_SCORERS, *_PROGRAMS)
    verifiers = {name: DOMAINS[name].problem(random.Random(0)).verifier for name in recipe.domains}
    verifiers |= dict.fromkeys(recipe.families, "reasoning_gym")
    verifiers |= {name: source.verifier for name, source in recipe.sources.items()}
    scored = [name for name, verifier in verifiers.items() if verifier in here]
    missing = missing_isolation() if scored else None
    if missing is not None:
        raise UserError(
            "what a model writes is run and scored in isolation or not at all",
            got=f"{missing}; needed by {', '.join(scored)}",
            remedy=f"use Linux on x86-64 with Landlock and seccomp; programs alone can run elsewhere ({URL})",
        )
