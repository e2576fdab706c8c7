"""DPO and KTO against TRL's own trainers: the same batch, the same loss, the same gradients.

A Llama with random weights, another one as its reference; TRL reads padded rows, we read packed ones.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from afterbase.core.tokens import Tokenized
from afterbase.model.load import LanguageModel, load
from afterbase.train import dpo, kto
from afterbase.train.optimise import Optimisation
from afterbase.train.pairs import Pair, answer_logps, read_pairs

RATE = Optimisation(learning_rate=1e-3, floor=1e-3)
TOLERANCE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-6}


@pytest.fixture
def policies(toy_tokenizer, tmp_path) -> tuple[LanguageModel, LanguageModel]:
    """A policy and its reference."""
    config = LlamaConfig(
        vocab_size=len(toy_tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        initializer_range=0.2,
        pad_token_id=toy_tokenizer.pad_token_id,
    )
    lms = []
    for seed in range(2):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(tmp_path / str(seed))
        toy_tokenizer.save_pretrained(tmp_path / str(seed))
        lms.append(load(tmp_path / str(seed)))
    return lms[0], lms[1]


def theirs(lm: LanguageModel) -> LlamaForCausalLM:
    """The same weights under transformers' own attention."""
    return LlamaForCausalLM.from_pretrained(lm.model.config._name_or_path, attn_implementation="eager")


def padded(answers: list[Tokenized], pad: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and completion mask, (answers, longest)."""
    longest = max(len(a.ids) for a in answers)
    ids = [a.ids + [pad] * (longest - len(a.ids)) for a in answers]
    attention = [[1] * len(a.ids) + [0] * (longest - len(a.ids)) for a in answers]
    completion = [[int(t) for t in a.trained] + [0] * (longest - len(a.ids)) for a in answers]
    return torch.tensor(ids), torch.tensor(attention), torch.tensor(completion)


def reference_logps(lm: LanguageModel, pairs: list[Pair]) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([answer_logps(lm, [*pair.answers, *pair.others]) for pair in pairs])


def assert_same_gradients(ours: torch.nn.Module, other: torch.nn.Module) -> None:
    others = dict(other.named_parameters())
    compared = 0
    for name, parameter in ours.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, others[name].grad, **TOLERANCE)
            compared += 1
    assert compared > 10


def options(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "beta": 0.3,
        "disable_dropout": True,
    }


def test_dpo_is_trls(policies, preference_inputs, tmp_path):
    policy, reference = policies
    pairs = read_pairs(policy, preference_inputs(5)[1])
    config = dpo.Dpo(epochs=1, pairs_per_step=5, beta=0.3, held_out=0.5, row_tokens=100, optimisation=RATE)
    loss = dpo.accumulate(policy, pairs, reference_logps(reference, pairs), config)["loss"]

    model = theirs(policy)
    rows = [{"prompt": "a", "chosen": "b", "rejected": "c"}]
    trainer = DPOTrainer(
        model=model,
        ref_model=theirs(reference),
        args=DPOConfig(**options(tmp_path / "trl")),
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
    )
    pad = policy.tokenizer.pad_token_id
    ids, attention, completion = padded([*(p.chosen for p in pairs), *(p.rejected for p in pairs)], pad)
    batch = {"input_ids": ids, "attention_mask": attention, "completion_mask": completion}
    their_loss = trainer._compute_loss(trainer.model, batch, False)
    their_loss.backward()
    assert loss == pytest.approx(their_loss.item(), rel=1e-5)
    assert_same_gradients(policy.model, model)


@pytest.mark.parametrize("swapped", [False, True], ids=["policy", "reference"])
def test_kto_is_trls(policies, preference_inputs, tmp_path, swapped: bool):
    """Either way round: the reference point is above zero in one, cut off at zero in the other."""
    policy, reference = reversed(policies) if swapped else policies
    pairs = read_pairs(policy, preference_inputs(5)[1])
    config = kto.Kto(
        epochs=1, pairs_per_step=5, beta=0.3, held_out=0.5, row_tokens=100, optimisation=RATE,
        desirable_weight=1.5, undesirable_weight=0.5,
    )  # fmt: skip
    loss = kto.accumulate(policy, pairs, reference_logps(reference, pairs), config)["loss"]

    model = theirs(policy)
    rows = [{"prompt": "a", "completion": "b", "label": True}, {"prompt": "c", "completion": "d", "label": False}]
    weights: dict[str, Any] = {"desirable_weight": 1.5, "undesirable_weight": 0.5}
    trainer = KTOTrainer(
        model=model,
        ref_model=theirs(reference),
        args=KTOConfig(**options(tmp_path / "trl"), **weights),
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
    )
    pad = policy.tokenizer.pad_token_id
    ids, attention, completion = padded([a for p in pairs for a in p.answers], pad)
    other_ids, other_attention, other_completion = padded([a for p in pairs for a in p.others], pad)
    batch = {
        "input_ids": ids, "attention_mask": attention, "completion_mask": completion,
        "KL_input_ids": other_ids, "KL_attention_mask": other_attention, "KL_completion_mask": other_completion,
        "label": torch.tensor([True, False] * len(pairs)),
    }  # fmt: skip
    their_loss = trainer._compute_loss(trainer.model, batch, False)
    their_loss.backward()
    assert loss == pytest.approx(their_loss.item(), rel=1e-5)
    assert_same_gradients(policy.model, model)
