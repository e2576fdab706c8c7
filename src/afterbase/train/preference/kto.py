"""KTO (arXiv 2402.01306), a comparison beside GRPO: single answers that are good or bad, against a reference point.

Both answers of a preference pair are taken, as a desirable and an undesirable one. As in the paper, the reference point
is what the policy gained over the reference on answers that belong to other prompts: here those of the next pair with
another prompt, fixed by the data, so that the reference's share of it is made once. It is a mean over the step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from afterbase.core import distributed as ranks
from afterbase.core.store import Artifact, Store
from afterbase.model.load import LanguageModel
from afterbase.model.parallel import Forward, backward, direct
from afterbase.train.preference.config import Kto
from afterbase.train.preference.losses import kto_kl, kto_loss
from afterbase.train.preference.policy_training import gains, train_on_preferences
from afterbase.train.preference.preference_pairs import Pair, answer_logps, in_rows


def train_kto(
    store: Store, name: str, model: Artifact, preferences: Artifact, reference: Artifact, config: Kto, *, seed: int
) -> Artifact:
    """A model folder and accuracy.json, see `train_on_preferences`.

    >>> config = Kto(epochs=1, pairs_per_step=16, held_out=0.25, optimisation={"learning_rate": 1e-4, "floor": 1e-5})
    >>> kto = train_kto(store, "KTO", sft, pairs, reference, config, seed=0)
    >>> (kto.payload / "accuracy.json").exists()
    True
    """
    return train_on_preferences(store, name, "kto", (model, preferences, reference), config, accumulate, seed=seed)


def accumulate(
    lm: LanguageModel, pairs: Sequence[Pair], reference_N4: Tensor, config: Kto, forward: Forward = direct
) -> dict[str, float]:
    """Gradients of the mean loss over the pairs' answers, whatever the rows; the loss and the reference point `kl`.

    Of several ranks each takes a share of the rows; losses and gradients are those of all.
    """
    shares = ranks.share(list(in_rows(pairs, config.row_tokens)))
    known = sum(2 for pair in pairs if pair.others)
    kl = _reference_point(lm, shares, reference_N4, max(1, known), forward)
    desirable_2 = torch.tensor([True, False], device=lm.device)
    weights_2 = torch.tensor([config.desirable_weight, config.undesirable_weight], device=lm.device)
    loss = 0.0
    for row, weight in shares:
        gained = forward(lambda row=row: gains(lm, row, reference_N4)).flatten()
        desirable, weights = desirable_2.repeat(len(row)), weights_2.to(gained.dtype).repeat(len(row))
        part = weight * kto_loss(gained, desirable, weights, kl, beta=config.beta) / (2 * len(pairs))
        loss += backward(part)
    return {"loss": ranks.totals(loss)[0], "kl": kl}


@torch.no_grad()
def _reference_point(
    lm: LanguageModel,
    shares: Sequence[tuple[list[Pair], float]],
    reference_N4: Tensor,
    count: int,
    forward: Forward,
) -> float:
    total = 0.0
    for every, weight in shares:
        row = [pair for pair in every if pair.others]
        if not row:
            forward(lambda every=every: answer_logps(lm, every[0].answers))  # ranks read as many rows as each other
            continue
        logps = forward(lambda row=row: answer_logps(lm, [answer for pair in row for answer in pair.others]))
        reference = reference_N4[[pair.row for pair in row], 2:].flatten().to(lm.device)
        total += weight * (logps - reference).sum().item()
    return kto_kl(ranks.totals(total)[0], count)
