"""Direct preference optimisation: gradients against a plain loop, what is learnt, resume."""

import json
import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from afterbase.model.load import load
from afterbase.train.optimizer import Optimisation
from afterbase.train.preference.dpo import Dpo, accumulate, train_dpo
from afterbase.train.preference.preference_pairs import answer_logps, read_pairs
from zoo import working

CONFIG = Dpo(
    epochs=2,
    pairs_per_step=6,
    held_out=0.25,
    optimisation=Optimisation(learning_rate=3e-3, floor=1e-3),
    checkpoint_every=2,
)


@pytest.mark.parametrize("row_tokens", [64, 150, 4096])
def test_gradients_are_those_of_a_plain_loop_whatever_the_rows(exact_lm, preference_inputs, row_tokens: int):
    pairs = read_pairs(exact_lm, preference_inputs(5)[1]).kept
    reference = torch.randn(len(pairs), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found_numbers = accumulate(exact_lm, pairs, reference, CONFIG.model_copy(update={"row_tokens": row_tokens}))
    found = {n: p.grad.clone() for n, p in exact_lm.model.named_parameters() if p.grad is not None}
    exact_lm.model.zero_grad()
    losses, margins = [], []
    for pair in pairs:
        chosen, rejected = (answer_logps(exact_lm, [answer])[0] for answer in pair.answers)
        gains = chosen - reference[pair.row, 0], rejected - reference[pair.row, 1]
        losses.append(-F.logsigmoid(0.1 * (gains[0] - gains[1])))
        margins.append(0.1 * (gains[0] - gains[1]).item())
    torch.stack(losses).mean().backward()
    accuracy = sum(margin > 0 for margin in margins) / 5
    expected = {"loss": torch.stack(losses).mean().item(), "accuracy": accuracy, "margin": sum(margins) / 5}
    assert found_numbers == pytest.approx(expected, abs=1e-10)
    for name, parameter in exact_lm.model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=0, atol=1e-9)


def test_separable_pairs_are_learnt(toy_store, preference_inputs, with_reference):
    model, pairs, reference = with_reference(preference_inputs(24))
    longer = CONFIG.model_copy(update={"epochs": 6})
    trained = train_dpo(toy_store, "DPO", model, pairs, reference, longer, seed=0)
    rows = trained.metrics()
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-4), "the policy is its reference"
    assert rows[-1]["loss"] < 0.4
    report = json.loads((trained.payload / "accuracy.json").read_text())
    assert (report["training_pairs"], report["held_out_pairs"]) == (18, 6)
    assert report["held_out_accuracy"] == 1.0


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("kind", ["opt, dropout", "gpt2, dropout"])
def test_nothing_is_dropped_at_random(
    toy_store, toy_tokenizer, artifact, preference_inputs, with_reference, kind, recompute
):
    """A policy that is its reference has the loss ln 2; with the dropout of its config it would not."""
    _, pairs = preference_inputs(8)
    model = artifact("other", lambda folder: working(kind, folder, toy_tokenizer))
    inputs = with_reference((model, pairs))
    config = CONFIG.model_copy(update={"recompute": recompute})
    policy, chosen, reference = inputs
    trained = train_dpo(toy_store, "DPO", policy, chosen, reference, config, seed=0)
    assert trained.metrics()[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    dropout = json.loads((trained.payload / "config.json").read_text())
    assert max(dropout.get("dropout", 0), dropout.get("resid_pdrop", 0)) > 0, "the config says what it said"


def test_the_draft_module_is_left_alone(toy_store, preference_inputs, with_reference):
    model, pairs, reference = with_reference(preference_inputs(8))
    trained = train_dpo(toy_store, "DPO", model, pairs, reference, CONFIG, seed=0)
    before, after = (load(a.payload).modules().state_dict() for a in (model, trained))
    assert all(torch.equal(before[n], after[n]) for n in before if n.startswith("mtp."))
    assert not torch.equal(before["trunk.lm_head.weight"], after["trunk.lm_head.weight"])


def test_an_interrupted_run_goes_on_bit_for_bit(preference_inputs, with_reference, assert_resumes):
    model, pairs, reference = with_reference(preference_inputs(24))
    assert_resumes(lambda store: train_dpo(store, "DPO", model, pairs, reference, CONFIG, seed=3), cut=5, saved=4)


def test_more_epochs_at_a_constant_rate_go_on_bit_for_bit(preference_inputs, with_reference, assert_lengthens):
    model, pairs, reference = with_reference(preference_inputs(24))
    constant = CONFIG.model_copy(update={"optimisation": Optimisation(learning_rate=3e-3, schedule="constant")})

    def stage(store, epochs: int):
        config = constant.model_copy(update={"epochs": epochs})
        return train_dpo(store, "DPO", model, pairs, reference, config, seed=3)

    assert_lengthens(stage, short=1, long=3)


@pytest.mark.parametrize("loss", ["ipo", "simpo", "orpo", "cpo"])
def test_every_loss_learns_separable_pairs(toy_store, preference_inputs, loss):
    """None is given a reference: it is made where the loss has one, and only there."""
    model, pairs = preference_inputs(24)
    config = Dpo(loss=loss, epochs=4, pairs_per_step=6, held_out=0.25, optimisation=CONFIG.optimisation)
    trained = train_dpo(toy_store, loss, model, pairs, None, config, seed=0)
    made = [record.stage for record in toy_store.stages]
    assert made == (["reference_logps", "dpo"] if loss == "ipo" else ["dpo"])
    report = json.loads((trained.payload / "accuracy.json").read_text())
    assert report["held_out_accuracy"] == 1.0
    losses = [row["loss"] for row in trained.metrics()]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"gamma": 1.0}, "`gamma` is a setting"), ({"loss": "ipo", "label_smoothing": 0.1}, "`label_smoothing` is")],
)
def test_settings_of_another_loss_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        Dpo(optimisation=CONFIG.optimisation, **settings)


def test_each_loss_has_its_published_defaults():
    found = {
        loss: (c.strength, c.target_margin, c.likelihood_weight, c.has_reference)
        for loss in ("sigmoid", "ipo", "simpo", "orpo", "cpo")
        for c in [Dpo(loss=loss, optimisation=CONFIG.optimisation)]
    }
    assert found == {
        "sigmoid": (0.1, 0.05, 0.0, True),
        "ipo": (0.1, 0.05, 0.0, True),
        "simpo": (2.0, 1.0, 0.0, False),
        "orpo": (0.1, 0.05, 1.0, False),
        "cpo": (0.1, 0.05, 1.0, False),
    }
