"""Group relative policy optimisation: advantages, and the clipped objective with its KL term.

    J = E 1/G sum_i 1/|o_i| sum_t { min(rho_it A_i, clip(rho_it, 1 - low, 1 + high) A_i) - beta KL_it }
    rho_it = pi_theta(o_it) / pi_old(o_it)

DeepSeekMath (arXiv 2402.03300), equation 3. The V3 report's equations 26 to 28 have the ratio and the KL of the answer
as a whole: each token then carries its answer's value, so that 1/|o_i| sum_t gives it back once. Variants: see
`objective.py`. Notation: P prompts, G samples a prompt, N tokens of S answers, one answer after another.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from afterbase.train.grpo.objective import Objective

_EPSILON = 1e-4  # as in TRL: keeps a group of nearly equal rewards from exploding
_EQUAL = 1e-6  # a standard deviation below this is rounding; Adam would make a full step of it


def group_advantages(rewards_PG: Tensor, valid_PG: Tensor, *, standardise: bool = True) -> Tensor:
    """(r - mean) / std within each group, over its valid entries only; std with ddof 1, as TRL has it.

    Invalid entries (the verifier failed), groups with fewer than two valid ones and groups of equal rewards get 0.

    >>> rewards_PG = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    >>> group_advantages(rewards_PG, rewards_PG.isfinite(), standardise=False).tolist()
    [[0.5, -0.5], [0.0, 0.0]]
    """
    count = valid_PG.sum(1, keepdim=True).to(rewards_PG.dtype)
    mean = torch.where(valid_PG, rewards_PG, 0.0).sum(1, keepdim=True) / count.clamp(min=1)
    centred = torch.where(valid_PG, rewards_PG - mean, 0.0)
    std = (centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return torch.where(std > _EQUAL, centred / (std + _EPSILON) if standardise else centred, 0.0)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What is known of S answers of N tokens before the gradient: all of it constant.

    `old_logps_N` are the trainer's before the first update of a rollout, None where this is the first; `engine_logps_N`
    those that the rollout engine returned. `weights_N` holds the normalisation, see `token_weights`.
    """

    sizes_S: Tensor
    advantages_S: Tensor
    weights_N: Tensor
    engine_logps_N: Tensor
    old_logps_N: Tensor | None = None
    reference_logps_N: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The loss, and what is worth watching: tokens whose gradient the clip cut, answers that the mask kept."""

    loss: Tensor
    clipped_N: Tensor
    kept_S: Tensor


def grpo_loss(logps_N: Tensor, answers: Answers, objective: Objective) -> Terms:
    """Minus the objective, summed over tokens under their weights; see `Objective` for the switches."""
    index_N = torch.arange(len(answers.sizes_S)).repeat_interleave(answers.sizes_S)
    old_N = logps_N.detach() if answers.old_logps_N is None else answers.old_logps_N
    advantages_N = answers.advantages_S[index_N]
    log_ratio_N = _of_answer(logps_N - old_N, index_N, answers.sizes_S, objective.ratio)
    ratio_N = log_ratio_N.exp()
    clipped_N = ratio_N.clamp(1 - objective.clip_low, 1 + objective.clip_high)
    if objective.surrogate == "cispo":
        policy_N = clipped_N.detach() * advantages_N * logps_N
        cut_N = clipped_N != ratio_N
    else:
        policy_N = torch.minimum(ratio_N * advantages_N, clipped_N * advantages_N)
        cut_N = policy_N < ratio_N * advantages_N
    kept_S = torch.ones_like(answers.advantages_S, dtype=torch.bool)
    if objective.off_policy_delta is not None:
        drift_N = answers.engine_logps_N - logps_N.detach()
        drift_S = _sums(drift_N, index_N, answers.sizes_S) / answers.sizes_S
        kept_S = (answers.advantages_S >= 0) | (drift_S <= objective.off_policy_delta)
        policy_N = policy_N * kept_S[index_N]
    if objective.importance != "none":
        policy_N = policy_N * importance_weights(old_N, answers.engine_logps_N, objective)
    if answers.reference_logps_N is not None and objective.kl_in == "loss" and objective.beta > 0:
        whole = "sequence" if objective.ratio == "sequence" else "token"
        log_r_N = _of_answer(answers.reference_logps_N - logps_N, index_N, answers.sizes_S, whole)
        log_rho_N = _of_answer(logps_N - old_N, index_N, answers.sizes_S, whole)
        policy_N = policy_N - objective.beta * kl_estimate(objective.kl, log_r_N, log_rho_N)
    return Terms(loss=-(policy_N * answers.weights_N).sum(), clipped_N=cut_N, kept_S=kept_S)


def kl_estimate(estimator: str, log_r: Tensor, log_rho: Tensor) -> Tensor:
    """An estimate of KL(pi || pi_ref) from samples of pi_old; log_r = log pi_ref / pi, log_rho = log pi / pi_old.

    k1 = -log r, k2 = (log r)^2 / 2, k3 = r - 1 - log r (Schulman, "Approximating KL divergence", 2020). As a loss, k1
    has an expected gradient of 0, k2 that of the reverse KL, k3 that of the forward KL; rho k3, with rho bearing
    gradient, that of the reverse KL off-policy too (DeepSeek-V3.2, equation 7).

    >>> kl_estimate("k3", log_r=torch.tensor([0.0, 0.5]).log1p(), log_rho=torch.zeros(2)).tolist()[0]
    0.0
    """
    if estimator == "k1":
        return -log_r
    if estimator == "k2":
        return log_r.square() / 2
    k3 = log_r.exp() - log_r - 1
    return log_rho.exp() * k3 if estimator == "rho_k3" else k3


def importance_weights(trainer_logps_N: Tensor, engine_logps_N: Tensor, objective: Objective) -> Tensor:
    """pi_trainer / pi_engine of each token, at most the cap, or 0 above it: corrects for an engine that rounds."""
    ratio_N = (trainer_logps_N - engine_logps_N).exp().detach()
    if objective.importance == "truncate":
        return ratio_N.clamp(max=objective.importance_cap)
    return torch.where(ratio_N <= objective.importance_cap, ratio_N, 0.0)


def token_weights(sizes_S: Tensor, objective: Objective, *, answers: int, tokens: int, longest: int) -> Tensor:
    """The weight (N,) of each token of answers of these sizes, out of `answers` with `tokens` in all.

    Answers without gradient count in `answers` and `tokens` too; `longest` is the budget.
    """
    per_answer_S = {
        "sequence": 1 / (answers * sizes_S),
        "token": torch.full_like(sizes_S, 1 / tokens, dtype=torch.float64),
        "constant": torch.full_like(sizes_S, 1 / (answers * longest), dtype=torch.float64),
    }[objective.normalise]
    return per_answer_S.repeat_interleave(sizes_S)


def _of_answer(log_N: Tensor, index_N: Tensor, sizes_S: Tensor, level: str) -> Tensor:
    """Each token's own value, or its answer's sum or mean."""
    if level == "token":
        return log_N
    sums_S = _sums(log_N, index_N, sizes_S)
    return (sums_S / sizes_S if level == "sequence_mean" else sums_S)[index_N]


def _sums(x_N: Tensor, index_N: Tensor, sizes_S: Tensor) -> Tensor:
    return x_N.new_zeros(len(sizes_S)).index_add(0, index_N, x_N)
