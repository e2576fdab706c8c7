"""KTO (arXiv 2402.01306), a comparison beside GRPO: single answers that are good or bad, against a reference point.

They are labelled rows, or both answers of preference pairs, as a desirable and an undesirable one. As in the paper, the
reference point is what the policy gained over the reference on answers that belong to other prompts: here those of the
next row with another prompt, fixed by the data, so that the reference's share of it is made once. It is a mean over the
step.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from afterbase.core import distributed as ranks
from afterbase.core.store import Artifact, Store
from afterbase.model.load import LanguageModel
from afterbase.model.parallel import Forward, backward, direct
from afterbase.train.preference.config import Kto
from afterbase.train.preference.losses import kto_kl, kto_loss
from afterbase.train.preference.policy_training import Method, train_on_preferences
from afterbase.train.preference.preference_pairs import Example, answer_logps, in_rows, make_reference_logps


def train_kto(
    store: Store,
    name: str,
    model: Artifact,
    preferences: Artifact,
    reference: Artifact | None,
    config: Kto,
    *,
    seed: int,
    held_out: Artifact | None = None,
) -> Artifact:
    """A model folder and accuracy.json, see `train_on_preferences`; `preferences` are pairs or labelled answers.

    `reference`: what `make_reference_logps` made of the model and the rows; None: it is made here. `held_out`: further
    rows, to measure it by.

    >>> config = Kto(pairs_per_step=16, optimisation={"learning_rate": 1e-4})
    >>> kto = train_kto(store, "KTO", sft, pairs, None, config, seed=0)
    >>> (kto.payload / "accuracy.json").exists()
    True
    """
    references = (
        reference or make_reference_logps(store, model, preferences, device=config.device),
        None if held_out is None else make_reference_logps(store, model, held_out, device=config.device),
    )
    method = Method("kto", accumulate, measure, others=True)
    return train_on_preferences(store, name, method, model, ((preferences, held_out), references), config, seed=seed)


def accumulate(
    lm: LanguageModel, examples: Sequence[Example], reference_N4: Tensor | None, config: Kto, forward: Forward = direct
) -> dict[str, float]:
    """Gradients of the mean loss over the answers, whatever the rows; the loss and the reference point `kl`.

    Of several ranks each takes a share of the rows; losses and gradients are those of all.
    """
    assert reference_N4 is not None
    numbers = _over_rows(lm, examples, reference_N4, config, forward, backward)
    return {"loss": numbers["loss"], "kl": numbers["kl"]}


@torch.no_grad()
def measure(
    lm: LanguageModel, examples: Sequence[Example], reference_N4: Tensor | None, config: Kto, forward: Forward = direct
) -> dict[str, float]:
    """Loss and accuracy without a gradient: of pairs the share ranked right.

    Of labelled answers it is the share whose gain is on the right side of the reference point.
    """
    assert reference_N4 is not None
    return _over_rows(lm, examples, reference_N4, config, forward, Tensor.item)


def _over_rows(
    lm: LanguageModel,
    examples: Sequence[Example],
    reference_N4: Tensor,
    config: Kto,
    forward: Forward,
    take: Callable[[Tensor], float],
) -> dict[str, float]:
    shares = ranks.share(list(in_rows(examples, config.row_tokens)))
    known = sum(len(example.answers) for example in examples if example.others)
    kl = _reference_point(lm, shares, reference_N4, max(1, known), forward)
    count = sum(len(example.answers) for example in examples)
    loss = right = 0.0
    for row, weight in shares:
        gains = forward(lambda row=row: _gains(lm, row, reference_N4))
        desirable = torch.tensor([good for example in row for good in example.desirable], device=gains.device)
        weights = torch.where(desirable, config.desirable_weight, config.undesirable_weight).to(gains.dtype)
        loss += take(weight * kto_loss(gains, desirable, weights, kl, beta=config.beta) / count)
        right += weight * _right(row, gains, kl)
    loss, right = ranks.totals(loss, right)
    return {"loss": loss, "accuracy": right / len(examples), "kl": kl}


def _gains(lm: LanguageModel, row: Sequence[Example], reference_N4: Tensor) -> Tensor:
    """log(pi / pi_ref) of every answer of a row."""
    logps = answer_logps(lm, [answer for example in row for answer in example.answers])
    known = torch.cat([reference_N4[example.row, : len(example.answers)] for example in row])
    return logps - known.to(logps.device)


def _right(row: Sequence[Example], gains: Tensor, kl: float) -> int:
    found = iter(gains.tolist())
    right = 0
    for example in row:
        own = [next(found) for _ in example.answers]
        right += own[0] > own[1] if len(own) == 2 else (own[0] > kl) == example.desirable[0]
    return right


@torch.no_grad()
def _reference_point(
    lm: LanguageModel,
    shares: Sequence[tuple[list[Example], float]],
    reference_N4: Tensor,
    count: int,
    forward: Forward,
) -> float:
    total = 0.0
    for every, weight in shares:
        row = [example for example in every if example.others]
        if not row:
            forward(lambda every=every: answer_logps(lm, every[0].answers))  # ranks read as many rows as each other
            continue
        logps = forward(lambda row=row: answer_logps(lm, [answer for e in row for answer in e.others]))
        reference = torch.cat([reference_N4[e.row, 2 : 2 + len(e.others)] for e in row]).to(lm.device)
        total += weight * (logps - reference).sum().item()
    return kto_kl(ranks.totals(total)[0], count)
