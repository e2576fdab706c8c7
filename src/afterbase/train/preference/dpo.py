"""Direct preference optimisation (arXiv 2305.18290), a comparison beside GRPO: pairs, no reward model, no sampling.

The normaliser is the pairs of a step. Not covered: label smoothing, other losses than the sigmoid, and training on the
chosen answer's likelihood beside it.
"""

from collections.abc import Sequence

from torch import Tensor

from afterbase.core import distributed as ranks
from afterbase.core.store import Artifact, Store
from afterbase.model.load import LanguageModel
from afterbase.model.parallel import Forward, backward, direct
from afterbase.train.preference.config import Dpo
from afterbase.train.preference.losses import dpo_loss
from afterbase.train.preference.policy_training import gains, train_on_preferences
from afterbase.train.preference.preference_pairs import Pair, in_rows


def train_dpo(
    store: Store, name: str, model: Artifact, preferences: Artifact, reference: Artifact, config: Dpo, *, seed: int
) -> Artifact:
    """A model folder and accuracy.json, see `train_on_preferences`.

    >>> config = Dpo(epochs=1, pairs_per_step=16, held_out=0.25, optimisation={"learning_rate": 1e-4, "floor": 1e-5})
    >>> dpo = train_dpo(store, "DPO", sft, pairs, reference, config, seed=0)
    >>> (dpo.payload / "accuracy.json").exists()
    True
    """
    return train_on_preferences(store, name, "dpo", (model, preferences, reference), config, accumulate, seed=seed)


def accumulate(
    lm: LanguageModel, pairs: Sequence[Pair], reference_N4: Tensor, config: Dpo, forward: Forward = direct
) -> dict[str, float]:
    """Gradients of the mean loss over the pairs, whatever the rows; loss, accuracy and mean margin.

    Of several ranks each takes a share of the rows; losses and gradients are those of all.
    """
    loss = right = margin = 0.0
    for row, weight in ranks.share(list(in_rows(pairs, config.row_tokens))):
        gained = forward(lambda row=row: gains(lm, row, reference_N4))
        margins = config.beta * (gained[:, 0] - gained[:, 1])
        part = weight * dpo_loss(margins) / len(pairs)
        loss += backward(part)
        right += weight * int((margins > 0).sum())
        margin += weight * margins.sum().item()
    loss, right, margin = ranks.totals(loss, right, margin)
    return {"loss": loss, "accuracy": right / len(pairs), "margin": margin / len(pairs)}
