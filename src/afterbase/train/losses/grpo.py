"""Group relative policy optimisation: advantages, and the per-token clipped objective with its KL term.

    J = E 1/G sum_i 1/|o_i| sum_t { min(rho_it A_i, clip(rho_it, 1 - eps, 1 + eps) A_i) - beta KL_it }
    rho_it = pi_theta(o_it) / pi_old(o_it)      KL_it = r - log r - 1,  r = pi_ref(o_it) / pi_theta(o_it)

DeepSeekMath (arXiv 2402.03300), equations 3 and 4. The V3 report's equations 26 to 28 are sequence-level; the
per-token form is what everyone runs. Notation: P prompts, G samples a prompt, N completion tokens.
"""

import torch
from torch import Tensor

_EPSILON = 1e-4  # as in TRL: keeps a group of nearly equal rewards from exploding
_EQUAL = 1e-6  # a standard deviation below this is rounding; Adam would make a full step of it


def group_advantages(rewards_PG: Tensor, valid_PG: Tensor) -> Tensor:
    """(r - mean) / std within each group, over its valid entries only; std with ddof 1, as TRL has it.

    Invalid entries (the verifier failed), groups with fewer than two valid ones and groups of equal rewards get 0.
    """
    count = valid_PG.sum(1, keepdim=True).to(rewards_PG.dtype)
    mean = torch.where(valid_PG, rewards_PG, 0.0).sum(1, keepdim=True) / count.clamp(min=1)
    centred = torch.where(valid_PG, rewards_PG - mean, 0.0)
    std = (centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return torch.where(std > _EQUAL, centred / (std + _EPSILON), 0.0)


def clipped_objective(logps_N: Tensor, old_logps_N: Tensor, advantages_N: Tensor, *, clip: float) -> Tensor:
    """min(rho A, clip(rho, 1 - clip, 1 + clip) A) for each token."""
    ratio = (logps_N - old_logps_N).exp()
    return torch.minimum(ratio * advantages_N, ratio.clamp(1 - clip, 1 + clip) * advantages_N)


def k3(logps_N: Tensor, reference_logps_N: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(pi_theta || pi_ref) for each token: r - log r - 1 with r = pi_ref / pi_theta."""
    log_r = reference_logps_N - logps_N
    return log_r.exp() - log_r - 1


def grpo_loss(
    logps_N: Tensor,
    old_logps_N: Tensor,
    reference_logps_N: Tensor | None,
    advantages_N: Tensor,
    weights_N: Tensor,
    *,
    clip: float,
    beta: float,
) -> Tensor:
    """Minus the objective. `weights_N` holds the normalisation: 1 / (G |o_i|) in DeepSeekMath."""
    objective = clipped_objective(logps_N, old_logps_N, advantages_N, clip=clip)
    if reference_logps_N is not None:
        objective = objective - beta * k3(logps_N, reference_logps_N)
    return -(objective * weights_N).sum()
