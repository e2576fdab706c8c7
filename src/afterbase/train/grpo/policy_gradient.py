"""From groups of answers to gradients: the policy's log-probabilities beside the engine's and the reference's.

Answers share one pass over their prompt (`prefix_packing.py`). What differs between engine and trainer is measured in
every step, may be corrected, and above a limit stops the run. Notation: N tokens of S answers.
"""

import contextlib
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from afterbase.core.errors import UserError
from afterbase.model.load import LanguageModel
from afterbase.model.parallel import Forward, direct
from afterbase.model.routing import replay_of_row, replayed_routing
from afterbase.rollout.engine import Completion
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.groups import Group
from afterbase.train.grpo.loss import Answers, group_advantages, grpo_loss, kl_estimate, token_weights
from afterbase.train.grpo.objective import Objective
from afterbase.train.grpo.prefix_packing import Row, rows
from afterbase.train.logprobs import token_logps
from afterbase.train.lora import without_additions


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One completion with its advantage; the log-probabilities are there where they are needed."""

    prompt_ids: list[int]
    completion: Completion
    advantage: float = 0.0
    old_logps: Tensor | None = None
    reference_logps: Tensor | None = None

    @property
    def engine_logps(self) -> Tensor:
        return torch.tensor(self.completion.logps)


@dataclass(frozen=True, kw_only=True)
class Experience:
    """The answers of each group; one whose verifier failed is None: out of the loss, of the KL too."""

    groups: list[list[Answer | None]]
    numbers: dict[str, float]


def experience(
    lm: LanguageModel,
    reference: LanguageModel | None,
    groups: Sequence[Group],
    config: Grpo,
    forward: Forward = direct,
) -> Experience:
    """Advantages, and the log-probabilities that stay the same through all updates of a rollout.

    With the KL in the reward, beta times the answer's estimate is taken off each reward first.
    """
    objective, numbers = config.objective, {}
    rewards_PG = torch.stack([g.values for g in groups])
    valid_PG = ~rewards_PG.isnan()
    places = valid_PG.nonzero().tolist()
    answers = [Answer(prompt_ids=groups[p].prompt_ids, completion=groups[p].completions[i]) for p, i in places]
    kl_in_reward = objective.beta > 0 and objective.kl_in == "reward"
    if config.updates > 1 or kl_in_reward:
        logps = _measure(lm, answers, config, forward, routed=True)
        answers = [replace(a, old_logps=known) for a, known in zip(answers, logps, strict=True)]
    if reference is not None:
        with without_additions(reference.model):  # with low-rank additions the reference may be the model itself
            logps = _measure(reference, answers, config, forward, routed=False)
        answers = [replace(a, reference_logps=known) for a, known in zip(answers, logps, strict=True)]
    if kl_in_reward:
        kls = [_kl_of_answer(a, objective) for a in answers]
        rewards_PG[valid_PG] -= objective.beta * torch.tensor(kls)
        numbers["kl/in reward"] = round(sum(kls) / len(kls), 5)
    advantages_PG = group_advantages(rewards_PG.nan_to_num(0.0), valid_PG, standardise=objective.standardise)
    out: list[list[Answer | None]] = [[None] * len(g.completions) for g in groups]
    for (p, i), answer in zip(places, answers, strict=True):
        out[p][i] = replace(answer, advantage=float(advantages_PG[p, i]))
    return Experience(groups=out, numbers=numbers)


def minibatch(config: Grpo, index: int, update: int, seed: int) -> list[int]:
    """Which groups of rollout `index` its `update`-th update learns from: each once an epoch, in a seeded order."""
    epoch, part = divmod(update, config.minibatches)
    order = list(range(config.prompts))
    if config.minibatches > 1:
        random.Random(f"{seed}/{index}/{epoch}").shuffle(order)
    size = config.prompts // config.minibatches
    return sorted(order[part * size : (part + 1) * size])


def accumulate(
    lm: LanguageModel, groups: Sequence[Sequence[Answer | None]], config: Grpo, forward: Forward = direct
) -> dict[str, float]:
    """Add the gradient of these groups' objective; returns what was measured on the way, nothing where none flows.

    Answers that are left out still count in the normaliser. Raises UserError where the engine's log-probabilities are
    not the trainer's.
    """
    objective = config.objective
    kl_in_loss = objective.beta > 0 and objective.kl_in == "loss"
    known = [a for group in groups for a in group if a is not None]
    chosen = [a for a in known if a.advantage != 0.0 or kl_in_loss]  # from others no gradient flows
    if not chosen:
        return {}
    total = sum(len(group) for group in groups)
    tokens = sum(len(a.completion.token_ids) for a in known)
    loss = 0.0
    drift, kl, clipped, kept = [], [], [], []
    for row in _rows(chosen, config):
        members = [chosen[i] for i in row.answers]
        weights_N = token_weights(row.sizes_S, objective, answers=total, tokens=tokens, longest=config.max_new_tokens)
        with _routing(lm, row, chosen, objective):
            logps_N = forward(partial(_logps, lm, row, chosen, config))
            answers = Answers(
                sizes_S=row.sizes_S,
                advantages_S=torch.tensor([a.advantage for a in members]),
                weights_N=weights_N.to(logps_N.dtype),
                engine_logps_N=torch.cat([a.engine_logps for a in members]),
                old_logps_N=_joined([a.old_logps for a in members]) if config.updates > 1 else None,
                reference_logps_N=_joined([a.reference_logps for a in members]),
            )
            terms = grpo_loss(logps_N, answers, objective)
            terms.loss.backward()
        loss += terms.loss.item()
        old_N = logps_N.detach() if answers.old_logps_N is None else answers.old_logps_N
        drift.append(old_N - answers.engine_logps_N)
        if answers.reference_logps_N is not None:
            kl.append(logps_N.detach() - answers.reference_logps_N)
        clipped.append(terms.clipped_N)
        kept.append(terms.kept_S)
    numbers = _mismatch(torch.cat(drift), config.mismatch_alarm)
    numbers["loss"] = round(loss, 6)
    numbers["clipped"] = round(float(torch.cat(clipped).float().mean()), 4)
    if objective.off_policy_delta is not None:
        numbers["dropped"] = round(1 - float(torch.cat(kept).float().mean()), 4)
    if kl:
        numbers["kl"] = round(float(torch.cat(kl).mean()), 5)
    return numbers


def _measure(
    lm: LanguageModel, answers: Sequence[Answer], config: Grpo, forward: Forward, *, routed: bool
) -> list[Tensor]:
    """Log-probabilities of each answer's tokens, without gradient; `routed`: by the experts that the rollout chose."""
    out: list[Tensor | None] = [None] * len(answers)
    for row in _rows(answers, config):
        routing = _routing(lm, row, answers, config.objective) if routed else contextlib.nullcontext()
        with torch.no_grad(), routing:
            logps_N = forward(partial(_logps, lm, row, answers, config))
        for index, logps in zip(row.answers, logps_N.split(row.sizes_S.tolist()), strict=True):
            out[index] = logps
    return [logps for logps in out if logps is not None]


def _rows(answers: Sequence[Answer], config: Grpo) -> list[Row]:
    return rows([a.prompt_ids for a in answers], [a.completion.token_ids for a in answers], config.row_tokens)


def _logps(lm: LanguageModel, row: Row, answers: Sequence[Answer], config: Grpo) -> Tensor:
    states = lm.hidden(row.ids_T, row.segments).index_select(0, row.predictors_N)
    kept = [answers[i].completion.kept_tokens for i in row.answers]
    masks = None
    if config.objective.keep_sampling_mask and kept[0] is not None:
        masks = torch.from_numpy(np.concatenate([mask for mask in kept if mask is not None]))
    return token_logps(states, lm.head, row.targets_N, temperature=config.temperature, kept_NB=masks)


def _routing(
    lm: LanguageModel, row: Row, answers: Sequence[Answer], objective: Objective
) -> AbstractContextManager[None]:
    routed = [a.completion.routed_experts for a in answers]
    if not objective.keep_routing or routed[0] is None:
        return contextlib.nullcontext()
    chosen = replay_of_row(
        row.places, [len(a.prompt_ids) for a in answers], [torch.from_numpy(r) for r in routed if r is not None]
    )
    return replayed_routing(lm.model, chosen)


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else None


def _kl_of_answer(answer: Answer, objective: Objective) -> float:
    """The estimate for the answer as a whole: the sum over its tokens, or that of its own probability."""
    assert answer.reference_logps is not None and answer.old_logps is not None
    log_r = answer.reference_logps - answer.old_logps
    if objective.ratio == "sequence":
        log_r = log_r.sum()
    return float(kl_estimate(objective.kl, log_r, torch.zeros_like(log_r)).sum())


def _mismatch(drift_N: Tensor, alarm: float) -> dict[str, float]:
    """Of log pi_trainer - log pi_engine: the mean size, the largest, and the k3 estimate of KL(engine || trainer)."""
    mean = float(drift_N.abs().mean())
    if mean > alarm:
        raise UserError(
            "the engine that samples and the model that is trained must be one policy",
            got=f"log-probabilities that differ by {mean:.3f} nats a token on average, above mismatch_alarm = {alarm}",
            remedy="check that the engine has the newest weights and this stage's temperature",
        )
    return {
        "mismatch": round(mean, 7),
        "mismatch/max": round(float(drift_N.abs().max()), 6),
        "mismatch/k3": round(float((drift_N.exp() - drift_N - 1).mean()), 9),
    }
