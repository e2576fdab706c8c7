"""One training on rows of one's own, as one recipe each: what the command of the same name runs."""

from typing import Literal

from pydantic import model_validator

from afterbase.core.errors import UserError
from afterbase.data.generate.teacher import Teacher
from afterbase.data.own.own_rows import OwnRows
from afterbase.data.problems.source_rows import Source
from afterbase.recipe.run_settings import ModelRunSettings
from afterbase.train.config import EvaluatedTraining, Sft
from afterbase.train.grpo.config import Grpo
from afterbase.train.preference.config import Dpo, Kto, RewardModelTraining


class Job(ModelRunSettings):
    """What the recipes of one training have in common."""

    kind: str
    """What the recipe makes."""


class JobRows(OwnRows):
    """The rows to train on, and rows to measure on."""

    eval: OwnRows | None = None
    """Rows that are never trained on, and that the model is measured on."""

    @property
    def training(self) -> OwnRows:
        """The rows to train on alone."""
        return OwnRows(**{name: getattr(self, name) for name in OwnRows.model_fields})


class AnswerRows(JobRows):
    """Rows of answers to be compared or judged, and rows to measure on."""

    @model_validator(mode="after")
    def _answers_alone(self) -> "AnswerRows":
        if self.trained != "all" or (self.eval is not None and self.eval.trained != "all"):
            raise UserError(
                "which turns bear loss is a choice of fine-tuning alone",
                got="`trained` = last",
                remedy="leave it out: of preferences and of labelled rows the answers that are judged bear it",
            )
        return self


def _refuse_unmeasured(stage: EvaluatedTraining, rows: object) -> None:
    """UserError for measurements on rows that nobody gives: now, and not when all is loaded."""
    if stage.eval_every is not None and rows is None and not getattr(stage, "held_out", 0.0):
        share = ", keep a share of the rows by `held_out`" if "held_out" in type(stage).model_fields else ""
        raise UserError(
            "training is measured on rows that it does not train on",
            got=f"`eval_every` = {stage.eval_every}, and no held-out rows",
            remedy=f"give a file of held-out rows (--eval){share}, or leave `eval_every` out",
        )


class SftRecipe(Job):
    """Supervised fine-tuning."""

    kind: Literal["sft"]
    """What the recipe makes."""
    data: JobRows
    """Chats, questions with answers, or texts."""
    sft: Sft
    """How it is trained."""

    @model_validator(mode="after")
    def _measured(self) -> "SftRecipe":
        _refuse_unmeasured(self.sft, self.data.eval)
        return self


class PreferenceRecipe(Job):
    """Training on preferences, by DPO and its kin or by KTO: the table that is given says which."""

    kind: Literal["preference"]
    """What the recipe makes."""
    data: AnswerRows
    """Pairs of a chosen and a rejected answer, or, for KTO, answers with a label each."""
    dpo: Dpo | None = None
    """Training on pairs."""
    kto: Kto | None = None
    """Training on answers with labels."""

    @model_validator(mode="after")
    def _one_method(self) -> "PreferenceRecipe":
        if (self.dpo is None) == (self.kto is None):
            raise UserError(
                "a recipe of preferences has one method: [dpo] or [kto]",
                got="neither" if self.dpo is None else "both",
                remedy="give [dpo] for pairs, or [kto] for answers with labels",
            )
        return self


class RewardModelRecipe(Job):
    """A scalar reward model."""

    kind: Literal["reward-model"]
    """What the recipe makes."""
    data: AnswerRows
    """Pairs of a chosen and a rejected answer, with a margin where there is one."""
    reward_model: RewardModelTraining
    """How it is trained."""


class GrpoRecipe(Job):
    """Reinforcement learning on problems of one's own; with variants and evaluations: the kind `rl`."""

    kind: Literal["grpo"]
    """What the recipe makes."""
    problems: Source
    """A table of problems, and the verifier that judges their answers."""
    eval: Source | None = None
    """Problems that are never trained on, and that the policy is measured on."""
    grpo: Grpo
    """How it is trained, and by which rewards beside the verifier's verdict."""

    @model_validator(mode="after")
    def _measured(self) -> "GrpoRecipe":
        _refuse_unmeasured(self.grpo, self.eval)
        return self


class DistillationRecipe(Job):
    """Supervised fine-tuning on a teacher's answers to prompts of one's own."""

    kind: Literal["distillation"]
    """What the recipe makes."""
    data: JobRows
    """Prompts, of rows of any form: answers that they hold are left alone. `eval` has rows with answers."""
    teacher: Teacher
    """Who answers, and how it is asked."""
    sft: Sft
    """How the student is trained."""

    @model_validator(mode="after")
    def _measured(self) -> "DistillationRecipe":
        _refuse_unmeasured(self.sft, self.data.eval)
        return self

    def teachers(self) -> list[Teacher]:
        """The one teacher."""
        return [self.teacher]
