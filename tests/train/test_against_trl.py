"""DPO, KTO and GRPO against TRL's own trainers: the same batch, the same loss, the same gradients.

A Llama with random weights, another one as its reference; TRL reads padded rows, we read packed ones.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from afterbase.core.tokens import Tokenized
from afterbase.model.load import LanguageModel, load
from afterbase.rollout.engine import Completion, FinishReason
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.objective import Objective
from afterbase.train.grpo.policy_gradient import Answer, accumulate
from afterbase.train.optimizer import Optimisation
from afterbase.train.preference import dpo, kto
from afterbase.train.preference.preference_pairs import Labelled, Pair, answer_logps, read_pairs

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


LOSSES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sigmoid": ({"loss": "sigmoid"}, {"loss_type": ["sigmoid"]}),
    "ipo": ({"loss": "ipo"}, {"loss_type": ["ipo"]}),
    "sigmoid and the chosen answers' likelihood": (
        {"loss": "sigmoid", "sft_weight": 0.7},
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.7]},
    ),
}


@pytest.mark.parametrize("case", LOSSES)
def test_dpo_is_trls(policies, preference_inputs, tmp_path, case):
    policy, reference = policies
    pairs = uneven(read_pairs(policy, preference_inputs(5)[1]).kept)
    ours, trls = LOSSES[case]
    config = dpo.Dpo(pairs_per_step=5, beta=0.3, row_tokens=100, optimisation=RATE, **ours)
    loss = dpo.accumulate(policy, pairs, reference_logps(reference, pairs), config)["loss"]

    model = theirs(policy)
    rows = [{"prompt": "a", "chosen": "b", "rejected": "c"}]
    trainer = DPOTrainer(
        model=model,
        ref_model=theirs(reference),
        args=DPOConfig(**options(tmp_path / "trl"), **trls),
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


def uneven(pairs: list[Pair]) -> list[Pair]:
    """The same pairs, every second chosen answer without its last token: lengths differ where losses divide by them."""
    return [replace(p, chosen=Tokenized(p.chosen.ids[:-1], p.chosen.trained[:-1])) if p.row % 2 else p for p in pairs]


WITHOUT_REFERENCE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cpo": ({"loss": "cpo"}, {"loss_type": "sigmoid", "cpo_alpha": 1.0}),
    "cpo, smoothed": (
        {"loss": "cpo", "label_smoothing": 0.2, "sft_weight": 0.5},
        {"loss_type": "sigmoid", "cpo_alpha": 0.5, "label_smoothing": 0.2},
    ),
    "simpo": ({"loss": "simpo", "gamma": 0.4}, {"loss_type": "simpo", "cpo_alpha": 0.0, "simpo_gamma": 0.4}),
    "cpo-simpo": (
        {"loss": "simpo", "gamma": 0.4, "sft_weight": 0.5},
        {"loss_type": "simpo", "cpo_alpha": 0.5, "simpo_gamma": 0.4},
    ),
    "orpo": ({"loss": "orpo"}, {}),
}


@pytest.mark.parametrize("case", WITHOUT_REFERENCE)
def test_losses_without_a_reference_are_trls(policies, preference_inputs, tmp_path, case):
    policy, _ = policies
    pairs = uneven(read_pairs(policy, preference_inputs(5)[1]).kept)
    ours, trls = WITHOUT_REFERENCE[case]
    config = dpo.Dpo(pairs_per_step=5, beta=0.3, row_tokens=100, optimisation=RATE, **ours)
    loss = dpo.accumulate(policy, pairs, None, config)["loss"]

    kinds: tuple[Any, Any] = (CPOTrainer, CPOConfig) if trls else (ORPOTrainer, ORPOConfig)
    trainer_of, config_of = kinds
    model = theirs(policy)
    trainer = trainer_of(
        model=model,
        args=config_of(**options(tmp_path / "trl"), **trls),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=policy.tokenizer,
    )
    batch: dict[str, Any] = {}
    for side in ("chosen", "rejected"):
        ids, attention, completion = padded([getattr(p, side) for p in pairs], policy.tokenizer.pad_token_id)
        labels = ids.masked_fill(completion == 0, -100)
        batch |= {f"{side}_input_ids": ids, f"{side}_attention_mask": attention, f"{side}_labels": labels}
    their_loss, _ = trainer.get_batch_loss_metrics(trainer.model, batch)
    their_loss.backward()
    assert loss == pytest.approx(their_loss.item(), rel=1e-4)
    assert_same_gradients(policy.model, model)


def labelled(pairs: list[Pair]) -> list[Labelled]:
    """Single answers, more bad ones than good ones."""
    both = [
        Labelled(2 * p.row + i, p.prompt, answer, not i, (p.others[i],))
        for p in pairs
        for i, answer in enumerate(p.answers)
    ]
    return [answer for answer in both if answer.row not in (0, 4)]


@pytest.mark.parametrize("unpaired", [False, True], ids=["pairs", "labelled answers"])
@pytest.mark.parametrize("swapped", [False, True], ids=["policy", "reference"])
def test_kto_is_trls(policies, preference_inputs, tmp_path, swapped: bool, unpaired: bool):
    """Either way round: the reference point is above zero in one, cut off at zero in the other."""
    policy, reference = reversed(policies) if swapped else policies
    pairs = read_pairs(policy, preference_inputs(5)[1]).kept
    examples = labelled(pairs) if unpaired else pairs
    config = kto.Kto(
        pairs_per_step=5, beta=0.3, row_tokens=100, optimisation=RATE, desirable_weight=1.5, undesirable_weight=0.5
    )
    known = reference_logps(reference, pairs)
    if unpaired:
        known = torch.stack([known[e.row // 2, [e.row % 2, 3, 2 + e.row % 2, 3]] for e in examples])
        examples = [replace(e, row=i) for i, e in enumerate(examples)]
    loss = kto.accumulate(policy, examples, known, config)["loss"]

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
    ids, attention, completion = padded([a for e in examples for a in e.answers], pad)
    other_ids, other_attention, other_completion = padded([a for e in examples for a in e.others], pad)
    batch = {
        "input_ids": ids, "attention_mask": attention, "completion_mask": completion,
        "KL_input_ids": other_ids, "KL_attention_mask": other_attention, "KL_completion_mask": other_completion,
        "label": torch.tensor([good for e in examples for good in e.desirable]),
    }  # fmt: skip
    their_loss = trainer._compute_loss(trainer.model, batch, False)
    their_loss.backward()
    assert loss == pytest.approx(their_loss.item(), rel=1e-5)
    assert_same_gradients(policy.model, model)


# Each of our objectives and TRL's words for it. `v3_eq26` has no counterpart there.
GRPO_CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": ({"preset": "grpo"}, {"loss_type": "grpo", "beta": 0.04, "use_bias_correction_kl": False}),
    "dr_grpo": ({"preset": "dr_grpo"}, {"loss_type": "dr_grpo"}),
    "dapo": ({"preset": "dapo"}, {"loss_type": "dapo", "epsilon_high": 0.28}),
    "gspo": (
        {"preset": "gspo", "clip_low": 0.03, "clip_high": 0.04},
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.03, "epsilon_high": 0.04},
    ),
    "cispo": ({"preset": "cispo", "clip_high": 0.1}, {"loss_type": "cispo", "epsilon_high": 1.1}),
    "v3.2": (
        {"preset": "v3.2", "beta": 0.3, "off_policy_delta": 0.05},
        {"loss_type": "grpo", "beta": 0.3, "use_bias_correction_kl": True, "off_policy_mask_threshold": 0.05},
    ),
    "grpo, truncated importance": (
        {"preset": "grpo", "importance": "truncate", "importance_cap": 1.1},
        {"loss_type": "grpo", "beta": 0.04, "use_bias_correction_kl": False, "importance": True},
    ),
}


@pytest.mark.parametrize("case", GRPO_CASES)
def test_grpo_is_trls(policies, tmp_path, case):
    """Eight answers to two prompts, off-policy, with an engine that is a third policy; T = 1.3."""
    ours, trls = GRPO_CASES[case]
    policy, reference = policies
    objective = Objective(**ours)
    config = Grpo(
        steps=1, prompts=2, samples=4, temperature=1.3, max_new_tokens=9, length_weight=0.0, epochs=2, row_tokens=64,
        objective=objective, optimisation=RATE, mismatch_alarm=9.0,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    prompts = [[0, 4, 50, 60, 5], [0, 4, 5]]
    answers: list[Answer] = []
    for i in range(8):
        tokens = torch.randint(6, 400, (1 + (5 * i) % 9,), generator=generator).tolist()
        prompt = prompts[i // 4]
        ids = Tokenized([*prompt, *tokens], [False] * len(prompt) + [True] * len(tokens))
        old, engine, kept = (
            _token_logps(lm, ids, 1.3) + 0.1 * torch.randn(len(tokens), generator=generator)
            for lm in (policy, policy, reference)
        )
        completion = Completion(
            token_ids=tokens, logps=engine.tolist(), finish=FinishReason.STOP, prompt_index=i // 4, sample_index=i % 4
        )
        answers.append(
            Answer(
                prompt_ids=prompt, completion=completion, advantage=float(torch.randn((), generator=generator)),
                old_logps=old, reference_logps=kept if objective.beta else None,
            )
        )  # fmt: skip
    accumulate(policy, [answers[:4], answers[4:]], config)

    model = theirs(policy)
    importance = trls.pop("importance", False)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(
            output_dir=str(tmp_path / "trl"), report_to="none", use_cpu=True, bf16=False, num_generations=4,
            per_device_train_batch_size=8, max_completion_length=9, temperature=1.3,
            **{"beta": 0.0, "epsilon": 0.2, **trls},
        ),
        train_dataset=Dataset.from_list([{"prompt": "a"}]),
        processing_class=policy.tokenizer,
    )  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    batch = _grpo_batch(answers, policy.tokenizer.pad_token_id)
    if importance:
        trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
        batch["importance_sampling_ratio"] = (
            (batch["old_per_token_logps"] - batch["sampling_per_token_logps"]).exp().clamp(max=1.1)
        )
    model.train()
    trainer._compute_loss(model, batch).backward()
    assert_same_gradients(policy.model, model)


def _token_logps(lm: LanguageModel, sample: Tokenized, temperature: float) -> torch.Tensor:
    with torch.no_grad():
        logits = theirs(lm)(torch.tensor([sample.ids])).logits[0] / temperature
    start = sample.trained.index(True)
    return logits[start - 1 : -1].log_softmax(-1).gather(1, torch.tensor(sample.ids[start:])[:, None])[:, 0]


def _grpo_batch(answers: list[Answer], pad: int) -> dict[str, Any]:
    """TRL's padding: prompts on the left, completions on the right."""
    widest = max(len(a.prompt_ids) for a in answers)
    longest = max(len(a.completion.token_ids) for a in answers)

    def right(values: list[Any], fill: Any) -> list[Any]:
        return values + [fill] * (longest - len(values))

    batch: dict[str, Any] = {
        "prompt_ids": torch.tensor([[pad] * (widest - len(a.prompt_ids)) + a.prompt_ids for a in answers]),
        "prompt_mask": torch.tensor([[0] * (widest - len(a.prompt_ids)) + [1] * len(a.prompt_ids) for a in answers]),
        "completion_ids": torch.tensor([right(a.completion.token_ids, pad) for a in answers]),
        "completion_mask": torch.tensor([right([1] * len(a.completion.token_ids), 0) for a in answers]),
        "advantages": torch.tensor([a.advantage for a in answers]),
        "num_items_in_batch": torch.tensor(float(sum(len(a.completion.token_ids) for a in answers))),
        "sampling_per_token_logps": torch.tensor([right(a.completion.logps, 0.0) for a in answers]),
    }
    for name, field in (("old_per_token_logps", "old_logps"), ("ref_per_token_logps", "reference_logps")):
        logps = [getattr(a, field) for a in answers]
        if logps[0] is not None:
            batch[name] = torch.tensor([right(x.tolist(), 0.0) for x in logps])
    return batch


BENCHMARK = Path(__file__).parents[2] / "benchmarks/against_trl.py"


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_ten_steps_have_trls_losses(policies, tmp_path, method):
    """The stages as a recipe runs them beside TRL's trainers as anybody does: optimizer, clipping, batches and all."""
    spec = importlib.util.spec_from_file_location("against_trl", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    against_trl = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = against_trl  # dataclasses look their module up
    spec.loader.exec_module(against_trl)
    folder = Path(policies[0].model.config._name_or_path)
    losses = getattr(against_trl, f"compare_{method}")(folder, tmp_path / "work", steps=10, rate=1e-3)
    assert len(losses.ours) == len(losses.trls) == 10
    assert losses.difference < 1e-4
    assert losses.ours[-1] < losses.ours[0]
