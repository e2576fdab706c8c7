"""Direct preference optimisation (arXiv 2305.18290) and its relatives, a comparison beside GRPO: pairs, no sampling.

The normaliser is the pairs of a step, and for the likelihood of chosen answers their tokens. ORPO's likelihood is of
the prompt too, as TRL and the paper's authors have it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from afterbase.core import distributed as ranks
from afterbase.core.store import Artifact, Store
from afterbase.model.load import LanguageModel
from afterbase.model.parallel import Forward, backward, direct
from afterbase.train.preference.config import Dpo
from afterbase.train.preference.losses import dpo_loss, ipo_loss, log_odds_ratio
from afterbase.train.preference.policy_training import Method, train_on_preferences
from afterbase.train.preference.preference_pairs import Pair, answer_logps, in_rows, make_reference_logps


def train_dpo(
    store: Store,
    name: str,
    model: Artifact,
    preferences: Artifact,
    reference: Artifact | None,
    config: Dpo,
    *,
    seed: int,
    held_out: Artifact | None = None,
) -> Artifact:
    """A model folder and accuracy.json, see `train_on_preferences`.

    `reference`: what `make_reference_logps` made of the model and the pairs. None: it is made here, where the loss has
    one. `held_out`: further pairs, to measure it by.

    >>> config = Dpo(pairs_per_step=16, optimisation={"learning_rate": 1e-4})
    >>> dpo = train_dpo(store, "DPO", sft, pairs, None, config, seed=0)
    >>> (dpo.payload / "accuracy.json").exists()
    True
    """
    if not config.has_reference:
        references = None, None
    else:
        references = (
            reference or make_reference_logps(store, model, preferences, others=False, device=config.device),
            None
            if held_out is None
            else make_reference_logps(store, model, held_out, others=False, device=config.device),
        )
    method = Method("dpo", accumulate, measure, others=False)
    return train_on_preferences(store, name, method, model, ((preferences, held_out), references), config, seed=seed)


def accumulate(
    lm: LanguageModel, pairs: Sequence[Pair], reference_N4: Tensor | None, config: Dpo, forward: Forward = direct
) -> dict[str, float]:
    """Gradients of the mean loss over the pairs, whatever the rows; loss, accuracy and mean margin.

    Of several ranks each takes a share of the rows; losses and gradients are those of all.
    """
    return _over_rows(lm, pairs, reference_N4, config, forward, backward)


@torch.no_grad()
def measure(
    lm: LanguageModel, pairs: Sequence[Pair], reference_N4: Tensor | None, config: Dpo, forward: Forward = direct
) -> dict[str, float]:
    """The same numbers without a gradient."""
    return _over_rows(lm, pairs, reference_N4, config, forward, Tensor.item)


def _over_rows(
    lm: LanguageModel,
    pairs: Sequence[Pair],
    reference_N4: Tensor | None,
    config: Dpo,
    forward: Forward,
    take: Callable[[Tensor], float],
) -> dict[str, float]:
    tokens = max(1, sum(_likelihood_tokens(pair, config) for pair in pairs))
    loss = right = margin = 0.0
    for row, weight in ranks.share(list(in_rows(pairs, config.row_tokens))):
        margins, likelihood = forward(lambda row=row: _margins(lm, row, reference_N4, config))
        part = weight * _loss(margins, config) / len(pairs)
        if config.likelihood_weight:
            part = part - weight * config.likelihood_weight * likelihood / tokens
        loss += take(part)
        right += weight * int((margins > 0).sum())
        margin += weight * margins.sum().item()
    loss, right, margin = ranks.totals(loss, right, margin)
    return {"loss": loss, "accuracy": right / len(pairs), "margin": margin / len(pairs)}


def _loss(margins_N: Tensor, config: Dpo) -> Tensor:
    match config.loss:
        case "ipo":
            return ipo_loss(margins_N / config.strength, beta=config.strength)
        case "orpo":
            return config.strength * dpo_loss(margins_N)
        case "simpo":
            return dpo_loss(margins_N - config.target_margin, smoothing=config.label_smoothing)
        case "sigmoid" | "cpo":
            return dpo_loss(margins_N, smoothing=config.label_smoothing)


def _margins(lm: LanguageModel, row: Sequence[Pair], reference_N4: Tensor | None, config: Dpo) -> tuple[Tensor, Tensor]:
    """By how much the chosen answers of a row are better (pairs,), and the log-probability of them all."""
    answers = [answer for pair in row for answer in pair.answers]
    with_prompts = config.loss == "orpo"
    logps = answer_logps(lm, answers, with_prompts=with_prompts).view(len(row), 2, -1)
    values, likelihood = logps[:, :, 0], logps[:, 0, -1].sum()
    if config.has_reference:
        assert reference_N4 is not None
        values = values - reference_N4[[pair.row for pair in row], :2].to(values)
    if config.loss in ("ipo", "simpo", "orpo"):
        values = values / values.new_tensor([[sum(a.trained) for a in pair.answers] for pair in row])
    chosen, rejected = values.unbind(1)
    margins = log_odds_ratio(chosen, rejected) if with_prompts else config.strength * (chosen - rejected)
    return margins, likelihood


def _likelihood_tokens(pair: Pair, config: Dpo) -> int:
    return len(pair.chosen.ids) - 1 if config.loss == "orpo" else sum(pair.chosen.trained)
