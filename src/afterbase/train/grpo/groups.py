"""A prompt's answers with their rewards: what GRPO compares. Notation: P prompts, G samples a prompt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status
from afterbase.reward.route import Reward
from afterbase.rollout.engine import Completion


@dataclass(frozen=True, kw_only=True)
class Group:
    """One prompt's G answers."""

    problem: Problem
    prompt_ids: list[int]
    completions: list[Completion]
    texts: list[str]
    rewards: list[Reward]

    @property
    def values(self) -> Tensor:
        """(G,): each answer's reward; nan where the verifier failed."""
        return torch.tensor([math.nan if r.value is None else r.value for r in self.rewards])

    @property
    def has_signal(self) -> bool:
        """Whether its rewards differ; where they do not, every advantage is 0."""
        known = [r.value for r in self.rewards if r.value is not None]
        return len(set(known)) > 1

    @property
    def solve_rate(self) -> float:
        """Share of right answers among those that a rule decided; nan where no rule did."""
        decided = [r.verdict.status for r in self.rewards if r.verdict and r.verdict.status is not Status.FAILED]
        return decided.count(Status.OK) / len(decided) if decided else math.nan


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The groups of one step; `sampled` has those too that dynamic sampling passed over.

    `cursor` is the prompts' position after it, `seconds` what each phase took.
    """

    groups: list[Group]
    sampled: list[Group]
    cursor: int
    seconds: dict[str, float]


def refuse_without_logps(completions: Sequence[Sequence[Completion]]) -> None:
    """UserError for an engine that does not give a finite log-probability of every token."""
    for group in completions:
        for c in group:
            if len(c.logps) != len(c.token_ids) or not all(map(math.isfinite, c.logps)):
                raise UserError(
                    "an engine returns the log-probability of every token that it sampled",
                    got=f"{len(c.logps)} log-probabilities for {len(c.token_ids)} tokens, or some that are not finite",
                    remedy="use the local engine or vLLM; other endpoints are for teachers and judges",
                )
