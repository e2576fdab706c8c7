"""KTO: gradients against a plain loop, what is learnt, resume."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from afterbase.core.store import Store
from afterbase.train.optimizer import Optimisation
from afterbase.train.preference.kto import Kto, accumulate, train_kto
from afterbase.train.preference.preference_pairs import answer_logps, make_reference_logps, read_pairs

CONFIG = Kto(
    epochs=2,
    pairs_per_step=6,
    held_out=0.25,
    optimisation=Optimisation(learning_rate=3e-3, floor=1e-3),
    checkpoint_every=2,
)


@pytest.mark.parametrize("row_tokens", [64, 150, 4096])
@pytest.mark.parametrize("shift", [-3.0, 3.0], ids=["below the reference", "above it"])
def test_gradients_are_those_of_a_plain_loop_whatever_the_rows(
    exact_lm, preference_inputs, row_tokens: int, shift: float
):
    pairs = read_pairs(exact_lm, preference_inputs(5)[1]).kept
    with torch.no_grad():
        now = torch.stack([answer_logps(exact_lm, [*pair.answers, *pair.others]) for pair in pairs])
    noise = torch.randn(len(pairs), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reference = now - shift + noise
    config = CONFIG.model_copy(update={"row_tokens": row_tokens, "desirable_weight": 1.5, "undesirable_weight": 0.5})
    numbers = accumulate(exact_lm, pairs, reference, config)
    loss, kl = numbers["loss"], numbers["kl"]
    found = {n: p.grad.clone() for n, p in exact_lm.model.named_parameters() if p.grad is not None}
    exact_lm.model.zero_grad()
    expected_kl = max(0.0, (now[:, 2:] - reference[:, 2:]).mean().item())
    assert kl == pytest.approx(expected_kl, abs=1e-10)
    assert (kl > 0) == (shift > 0)
    losses = []
    for pair in pairs:
        chosen, rejected = (answer_logps(exact_lm, [answer])[0] for answer in pair.answers)
        losses.append(1.5 * (1 - torch.sigmoid(0.1 * (chosen - reference[pair.row, 0] - expected_kl))))
        losses.append(0.5 * (1 - torch.sigmoid(0.1 * (expected_kl - rejected + reference[pair.row, 1]))))
    torch.stack(losses).mean().backward()
    assert loss == pytest.approx(torch.stack(losses).mean().item(), abs=1e-10)
    for name, parameter in exact_lm.model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=0, atol=1e-9)


def test_separable_answers_are_learnt(toy_store, preference_inputs, with_reference):
    model, pairs, reference = with_reference(preference_inputs(24))
    longer = CONFIG.model_copy(update={"epochs": 6})
    trained = train_kto(toy_store, "KTO", model, pairs, reference, longer, seed=0)
    rows = trained.metrics()
    assert rows[0]["loss"] == pytest.approx(0.5, abs=1e-4), "the policy is its reference"
    assert rows[-1]["loss"] < 0.42
    report = json.loads((trained.payload / "accuracy.json").read_text())
    assert (report["training_pairs"], report["held_out_pairs"]) == (18, 6)
    assert report["held_out_accuracy"] == 1.0


def test_an_interrupted_run_goes_on_bit_for_bit(preference_inputs, with_reference, assert_resumes):
    model, pairs, reference = with_reference(preference_inputs(24))
    assert_resumes(lambda store: train_kto(store, "KTO", model, pairs, reference, CONFIG, seed=3), cut=5, saved=4)


def test_more_epochs_at_a_constant_rate_go_on_bit_for_bit(preference_inputs, with_reference, assert_lengthens):
    model, pairs, reference = with_reference(preference_inputs(8))
    constant = CONFIG.model_copy(update={"optimisation": Optimisation(learning_rate=3e-3, schedule="constant")})

    def stage(store, epochs: int):
        config = constant.model_copy(update={"epochs": epochs})
        return train_kto(store, "KTO", model, pairs, reference, config, seed=3)

    assert_lengthens(stage, short=1, long=2)


def test_labelled_answers_are_learnt_and_resume_bit_for_bit(preference_inputs, artifact, assert_resumes, tmp_path):
    """Unpaired rows, with more bad answers than good ones."""
    model, pairs = preference_inputs(24)
    rows = []
    for i, row in enumerate(pq.read_table(pairs.payload / "pairs.parquet").to_pylist()):
        sides = ("chosen", "rejected") if i % 2 else ("rejected",)
        rows += [
            {"prompt": row["prompt"], "messages": None, "response": row[side], "label": side == "chosen", "row": str(i)}
            for side in sides
        ]
    answers = artifact("answers", lambda folder: pq.write_table(pa.Table.from_pylist(rows), folder / "answers.parquet"))
    reference = make_reference_logps(Store(tmp_path / "reference"), model, answers)
    config = CONFIG.model_copy(update={"epochs": 6, "pairs_per_step": 3})
    made = assert_resumes(
        lambda store: train_kto(store, "KTO", model, answers, reference, config, seed=3), cut=5, saved=4
    )
    steps = made.metrics()
    assert steps[0]["loss"] == pytest.approx(0.5, abs=1e-4)
    assert steps[-1]["loss"] < 0.42
    report = json.loads((made.payload / "accuracy.json").read_text())
    assert report["training_answers"] + report["held_out_answers"] == 36
    assert len(steps) == 6 * -(-report["training_answers"] // 6), "two answers for each pair of `pairs_per_step`"
    assert report["held_out_accuracy"] > 0.9
