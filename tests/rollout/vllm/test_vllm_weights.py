"""What is sent to a rollout server: every weight once, under the names of a Hugging Face folder."""

import hashlib

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from afterbase.core.errors import UserError
from afterbase.model import attention
from afterbase.model.load import LanguageModel, save
from afterbase.rollout.vllm.vllm_weights import Snapshot


@pytest.fixture
def tied_lm(toy_tokenizer) -> LanguageModel:
    config = LlamaConfig(
        vocab_size=len(toy_tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM._from_config(config, attn_implementation=attention.register())
    return LanguageModel(model.eval(), toy_tokenizer, None)


def test_tied_weights_are_sent_once(tied_lm):
    snapshot = Snapshot.of(tied_lm, version=0)
    sent = load_file(snapshot.path)
    assert sum(t.numel() for t in sent.values()) == sum(p.numel() for p in tied_lm.model.parameters())
    assert "lm_head.weight" not in sent
    assert snapshot.checksum == hashlib.sha256(snapshot.path.read_bytes()).hexdigest()
    snapshot.close()
    assert not snapshot.path.exists()


def test_names_are_those_of_a_saved_folder(toy_lm, tmp_path):
    """With one tensor an expert, as servers expect, whatever the model holds in memory."""
    snapshot = Snapshot.of(toy_lm, version=0)
    sent = load_file(snapshot.path)
    save(toy_lm, tmp_path)
    trunk = {name: t for name, t in load_file(tmp_path / "model.safetensors").items() if "layers.3." not in name}
    assert sent.keys() == trunk.keys()
    assert any(name.endswith("experts.0.gate_proj.weight") for name in sent)
    assert all(torch.equal(sent[name], trunk[name]) for name in sent)
    snapshot.close()


@pytest.mark.parametrize(("dtype", "off"), [("float32", 2e-3), ("bfloat16", 0.3), ("float32", float("nan"))])
def test_probe_refuses_what_is_further_off_than_rounding(toy_lm, dtype, off):
    snapshot = Snapshot.of(toy_lm, version=0)
    snapshot.close()
    snapshot.probe(snapshot.logps, dtype=dtype)
    snapshot.probe([logp + 5e-4 for logp in snapshot.logps], dtype=dtype)
    with pytest.raises(UserError, match="nats a token"):
        snapshot.probe([logp + off for logp in snapshot.logps], dtype=dtype)
