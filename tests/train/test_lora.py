"""LoRA: nothing changes at first, only the additions learn, and what is saved is a plain model that has learnt."""

import sys
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, write_problems
from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.parallel import whole_state
from afterbase.reward.scalar import load_reward_model, new_reward_model, save_reward_model
from afterbase.train.config import Optimisation
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.objective import Objective
from afterbase.train.grpo.stage import train_grpo
from afterbase.train.lora import Lora, add_lora, merged, save_adapter, without_additions
from afterbase.train.preference.config import Dpo, Kto, RewardModelTraining
from afterbase.train.preference.dpo import train_dpo
from afterbase.train.preference.kto import train_kto
from afterbase.train.preference.reward_model import train_reward_model
from zoo import working

IDS, SEGMENTS = torch.tensor([5, 6, 7, 8, 9, 10]), Segments.of([4, 2])


def logits(lm: LanguageModel) -> torch.Tensor:
    with torch.no_grad():
        return lm.logits(lm.hidden(IDS, SEGMENTS))


def disturb(lm: LanguageModel) -> None:
    """As if the additions had learnt something."""
    for name, parameter in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))


def test_additions_begin_as_nothing_and_are_all_that_is_trained(toy_lm):
    before = logits(toy_lm)
    add_lora(toy_lm, Lora(rank=2, alpha=4), seed=0)
    assert torch.equal(logits(toy_lm), before)
    trained = {name for name, p in toy_lm.modules().named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trained)
    layers = {name.split(".lora_")[0].rpartition(".")[2] for name in trained}
    assert layers == {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"}


def test_a_dense_model_gets_them_in_its_feed_forward_blocks_too(toy_tokenizer):
    shape = LlamaConfig(
        vocab_size=400, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    lm = LanguageModel(AutoModelForCausalLM.from_config(shape), toy_tokenizer, None)
    add_lora(lm, Lora(rank=2), seed=0)
    trained = [name for name, p in lm.model.named_parameters() if p.requires_grad]
    layers = {name.split(".lora_")[0].rpartition(".")[2] for name in trained}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_the_merged_folder_computes_what_the_additions_do(toy_lm, tmp_path):
    before = logits(toy_lm)
    config = Lora(rank=2, alpha=4)
    add_lora(toy_lm, config, seed=0)
    disturb(toy_lm)
    with_additions = logits(toy_lm)
    assert (with_additions - before).abs().max() > 0.01
    save(toy_lm, tmp_path, state=merged(whole_state(toy_lm.modules()), config))
    again = load(tmp_path)
    assert again.mtp is not None
    torch.testing.assert_close(logits(again), with_additions, rtol=0, atol=1e-5)
    assert not any("lora" in name for name in again.modules().state_dict())


@pytest.mark.parametrize("kind", ["qwen3_moe", "phimoe, bias", "granitemoe, divisor", "glm4_moe"])
def test_experts_of_other_families_are_in_the_merged_folder(kind, toy_tokenizer, tmp_path):
    """peft would wrap experts under names that no loader knows, and transformers would fill them at random."""
    lm = load(working(kind, tmp_path / "model", toy_tokenizer))
    config = Lora(rank=2, alpha=4)
    add_lora(lm, config, seed=0)
    trained = {name.split(".lora_")[0] for name, p in lm.model.named_parameters() if p.requires_grad}
    assert {name.split(".")[-2] for name in trained} == {"self_attn"}
    disturb(lm)
    save(lm, tmp_path / "out", state=merged(whole_state(lm.modules()), config), now=True)
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    model, found = loaded
    assert not any(found.values())
    assert sum(p.dim() == 3 for p in model.parameters()) >= 2, "experts of a layer, in one tensor each"
    torch.testing.assert_close(logits(load(tmp_path / "out")), logits(lm), rtol=0, atol=1e-4)


def test_attention_alone_on_request(toy_tokenizer, tmp_path):
    lm = load(working("llama", tmp_path / "model", toy_tokenizer))
    add_lora(lm, Lora(rank=2, targets="attention"), seed=0)
    trained = {name.split(".lora_")[0].rpartition(".")[2] for name, p in lm.model.named_parameters() if p.requires_grad}
    assert trained == {"q_proj", "k_proj", "v_proj", "o_proj"}


def test_without_its_additions_a_model_is_what_it_was(toy_lm):
    before = logits(toy_lm)
    with without_additions(toy_lm.model):
        assert torch.equal(logits(toy_lm), before), "one that has none"
    add_lora(toy_lm, Lora(rank=2, alpha=4), seed=0)
    disturb(toy_lm)
    changed = logits(toy_lm)
    trained = {name for name, p in toy_lm.model.named_parameters() if p.requires_grad}
    with without_additions(toy_lm.model):
        assert torch.equal(logits(toy_lm), before)
    assert torch.equal(logits(toy_lm), changed)
    assert {name for name, p in toy_lm.model.named_parameters() if p.requires_grad} == trained


@pytest.mark.parametrize("kind", ["llama", "qwen3, tied", "qwen3_moe"])
def test_peft_loads_the_adapter_onto_the_model_before_training(kind, toy_tokenizer, tmp_path):
    folder = working(kind, tmp_path / "model", toy_tokenizer)
    lm, config = load(folder), Lora(rank=2, alpha=8)
    add_lora(lm, config, seed=0)
    disturb(lm)
    for out in ("a", "b"):
        (tmp_path / out).mkdir()
        save_adapter(lm, tmp_path / out, whole_state(lm.modules()), config)
    files = sorted(path.name for path in (tmp_path / "a/adapter").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    assert all((tmp_path / "a/adapter" / f).read_bytes() == (tmp_path / "b/adapter" / f).read_bytes() for f in files)
    base = AutoModelForCausalLM.from_pretrained(folder)
    model = PeftModel.from_pretrained(base, tmp_path / "a/adapter")
    with torch.no_grad():
        theirs = model(IDS[None, :4]).logits[0]
    torch.testing.assert_close(theirs, logits(lm)[:4], rtol=0, atol=1e-5)
    save(lm, tmp_path / "merged", state=merged(whole_state(lm.modules()), config))
    with torch.no_grad():
        merged_logits = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(IDS[None, :4]).logits[0]
    torch.testing.assert_close(theirs, merged_logits, rtol=0, atol=1e-5)


LORA = {"lora": Lora(rank=2, alpha=8), "optimisation": Optimisation(learning_rate=3e-2), "checkpoint_every": 2}
PAIRS = {**LORA, "epochs": 2, "pairs_per_step": 6, "held_out": 0.25}
ON_PAIRS = {
    "dpo": lambda store, a, b, r: train_dpo(store, "dpo", a, b, r, Dpo(**PAIRS), seed=0),
    "kto": lambda store, a, b, r: train_kto(store, "kto", a, b, r, Kto(**PAIRS), seed=0),
    "reward model": lambda store, a, b, _: train_reward_model(store, "rm", a, b, RewardModelTraining(**PAIRS), seed=0),
}


@pytest.mark.parametrize("stage", ON_PAIRS)
def test_additions_learn_from_preferences_and_resume_bit_for_bit(
    preference_inputs, with_reference, assert_resumes, stage
):
    inputs = with_reference(preference_inputs(24))
    made = assert_resumes(lambda store: ON_PAIRS[stage](store, *inputs), cut=5, saved=4)
    losses = [row["loss"] for row in made.metrics()]
    assert losses[-1] < losses[0] - 0.005
    before = load(inputs[0].payload).model
    if stage == "reward model":
        rm = load_reward_model(made.payload)
        base = AutoModelForSequenceClassification.from_pretrained(inputs[0].payload, num_labels=1)
        model = PeftModel.from_pretrained(base, made.payload / "adapter")
        with torch.no_grad():
            theirs = model(IDS[None, :4]).logits[0, 0]
            assert theirs.item() == pytest.approx(rm.scores([IDS[:4].tolist()]).item(), abs=1e-5)
        return
    after = AutoModelForCausalLM.from_pretrained(made.payload)
    moved = {n for n, t in after.state_dict().items() if not torch.equal(t, before.state_dict()[n])}
    assert moved
    assert all(".self_attn." in name and "_proj" in name for name in moved)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(inputs[0].payload), made.payload / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(model(IDS[None]).logits, after(IDS[None]).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("form", ["one model", "reference replaced", "overlap"])
def test_grpo_samples_from_the_model_with_its_additions(toy_lm, artifact, assert_resumes, form):
    """Were the engine's weights without them, or old, its log-probabilities would not be the trainer's."""
    problems = [Problem(domain="toy", prompt=f"say {i}", gold=None, verifier="rubric", spec={}) for i in range(4)]
    model = artifact("model", lambda folder: save(toy_lm, folder))
    drawn = artifact("problems", lambda folder: write_problems(folder / "train.parquet", problems))
    rm = new_reward_model(toy_lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    judge = artifact("reward model", lambda folder: save_reward_model(rm, folder))
    changes = {
        "one model": {"objective": Objective(preset="dr_grpo", beta=0.1)},
        "reference replaced": {"objective": Objective(preset="dr_grpo", beta=0.1), "reference_every": 2},
        "overlap": {"objective": Objective(preset="dr_grpo", importance="truncate"), "overlap": True},
    }[form]
    config = Grpo(
        steps=6, prompts=2, samples=4, max_new_tokens=6, probe_groups=0, hacking_window=0,
        mismatch_alarm=9.0 if form == "overlap" else 1e-4, **LORA, **changes,
    )  # fmt: skip
    made = assert_resumes(
        lambda store: train_grpo(store, "grpo", model, [drawn], config, seed=0, reward_model=judge), cut=5, saved=4
    )
    assert any(row["grad_norm"] > 0 for row in made.metrics())
    before, after = load(model.payload).model.state_dict(), load(made.payload).model.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    if form == "one model":
        kl = [row["kl"] for row in made.metrics() if "kl" in row]
        assert kl[0] == pytest.approx(0.0, abs=1e-4), "the policy without its additions is the reference"
        assert max(map(abs, kl)) > 1e-3


def test_a_model_without_linear_layers_is_refused(toy_tokenizer, tmp_path):
    lm = load(working("gpt2, dropout", tmp_path / "model", toy_tokenizer))
    with pytest.raises(UserError, match="go beside linear layers") as raised:
        add_lora(lm, Lora(rank=2), seed=0)
    assert "`gpt2`" in raised.value.got


def test_a_model_without_additions_is_saved_as_it_is(toy_lm):
    state = whole_state(toy_lm.modules())
    assert merged(state, None) is state


def test_without_peft_the_remedy_is_said(toy_lm, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match="peft") as raised:
        add_lora(toy_lm, Lora(), seed=0)
    assert "afterbase[lora]" in raised.value.remedy
