"""What post-training asks of domains of the user's own beside their tables: teachers, rewards, sources of pairs."""

from typing import TYPE_CHECKING

from afterbase.core.config import How
from afterbase.core.errors import UserError, collect, refuse
from afterbase.data.domains import OPEN
from afterbase.data.generate.open_tables import JUDGE, MODEL
from afterbase.data.generate.teacher import Teacher
from afterbase.data.problems.source_rows import Source

if TYPE_CHECKING:
    from afterbase.recipe.post_training import Recipe


class TaughtSource(Source):
    """A table of problems, and who writes its drafts."""

    teacher: How[Teacher | None] = None
    """Who writes this domain's drafts, in place of the recipe's teacher."""
    system: How[str | None] = None
    """The system prompt of this domain's reflective drafts: a shipped name, or a text file."""


def teacher_of(recipe: "Recipe", name: str) -> Teacher | None:
    """Who writes the drafts of a domain, with its own system prompt; None: a column of its table, or a rule.

    Of an open domain the teacher always writes itself: there are no gold responses.
    """
    if name in recipe.open:
        table = recipe.open[name]
        teacher = None if table.columns.response is not None else table.teacher or recipe.teacher
        return None if teacher is None else _under(teacher, table.system).model_copy(update={"originals": "teacher"})
    if name in recipe.sources and (source := recipe.sources[name]):
        teacher = source.teacher or recipe.teacher
        return None if teacher is None else _under(teacher, source.system)
    return recipe.teacher


def payer_of(recipe: "Recipe", name: str) -> str:
    """Under which name a domain's teacher is paid: a teacher of its own has limits of its own."""
    own = {**recipe.sources, **recipe.open}.get(name)
    return recipe.name if own is None or own.teacher is None else f"{recipe.name}/{name}"


def refuse_unclear_own(recipe: "Recipe") -> None:
    """UserErrors for a reward that is not there, and for one that has no pairs to learn from."""
    found: list[UserError] = []
    for name, table in recipe.open.items():
        given = {MODEL: recipe.reward_model, JUDGE: recipe.judge}
        if table.by_model and given[table.reward] is None:
            key = "reward_model" if table.reward == MODEL else "judge"
            found.append(
                UserError(
                    "an open domain is rewarded by what the recipe has",
                    got=f"`open.{name}.reward` = {table.reward}, and no [{key}]",
                    remedy=f'add [{key}], or set `reward` to a function of yours, or to "none"',
                )
            )
        if table.system is not None and teacher_of(recipe, name) is None:
            found.append(
                UserError(
                    "a system prompt is for the teacher that writes the drafts",
                    got=f"`open.{name}.system`, and drafts from a column",
                    remedy="leave `system` out, or add a [teacher] and leave `columns.response` out",
                )
            )
    for check in (_refuse_no_pairs, _refuse_untrained_judge, _refuse_examination):
        with collect(found):
            check(recipe)
    refuse(found)


def _refuse_no_pairs(recipe: "Recipe") -> None:
    """Pairs of a domain without a rule are people's or the user's own; a reward model, DPO and KTO need some."""
    if recipe.preferences.path is not None:
        return
    remedy = "add your own pairs, `preferences.path`, or people's review of its drafts, [review.NAME]"
    for name, table in recipe.open.items():
        if table.reward == MODEL and name not in recipe.review:
            raise UserError(
                "a reward model learns from pairs of each open domain: people's edits and choices, or one's own pairs",
                got=f"neither for `open.{name}`",
                remedy=remedy.replace("NAME", name),
            )
    sources = [name for name in recipe.open_domains if name not in recipe.open or name in recipe.review]
    by_function = [name for name, table in recipe.open.items() if table.source.own is not None]
    if recipe.open and (recipe.dpo or recipe.kto) and not sources and not by_function:
        raise UserError("DPO and KTO learn from preference pairs", got="no source of pairs", remedy=remedy)


def _refuse_untrained_judge(recipe: "Recipe") -> None:
    shipped = [name for name in recipe.domains if name in OPEN]
    if recipe.judge is not None and recipe.judge.kind == "generative" and not shipped:
        raise UserError(
            "a generative judge is trained on pairs of a shipped open domain, whose rubric explains them",
            got=f"open domains {', '.join(recipe.open) or 'none'}",
            remedy='use `kind = "endpoint"` or `"self"`, a [reward_model], or add `chat` to `domains`',
        )


def _refuse_examination(recipe: "Recipe") -> None:
    shipped = [name for name in recipe.domains if name in OPEN]
    if recipe.examination is not None and recipe.open and not shipped:
        raise UserError(
            "an examination makes its pairs of shipped open domains",
            got=f"[examination] and open domains {', '.join(recipe.open)}",
            remedy="leave it out: the report says how many held-out pairs of each domain the reward model ranks right",
        )


def _under(teacher: Teacher, system: str | None) -> Teacher:
    return teacher if system is None else teacher.model_copy(update={"system": system})
