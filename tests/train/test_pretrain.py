"""Pre-training in miniature: it learns, it resumes, and what is written is a model that others can load."""

import itertools
import math
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoTokenizer

from afterbase.core.errors import UserError
from afterbase.core.store import Artifact, Store
from afterbase.model.attention import Segments
from afterbase.model.load import load
from afterbase.train.optimizer import Optimisation
from afterbase.train.pretrain import (
    Architecture,
    Pretraining,
    TokenizerSettings,
    _rows,
    make_tokenizer,
    midtrain,
    prediction_losses,
    pretrain,
)

ARCHITECTURE = Architecture(
    hidden_size=32,
    intermediate_size=48,
    moe_intermediate_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    n_shared_experts=1,
    n_routed_experts=8,
    num_experts_per_tok=2,
    n_group=4,
    topk_group=2,
    routed_scaling_factor=2.5,
    first_k_dense_replace=1,
    kv_lora_rank=16,
    q_lora_rank=24,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=16,
    num_nextn_predict_layers=1,
    max_position_embeddings=128,
    initializer_range=0.06,
)
CONFIG = Pretraining(
    steps=10,
    row_tokens=96,
    mtp_weight=0.3,
    balance_speed=0.01,
    balance_loss=1e-3,
    optimisation=Optimisation(learning_rate=1e-2, floor=1e-3, weight_decay=0.1),
    checkpoint_every=4,
)


def write_documents(texts: list[str]):
    rows = [{"domain": "toy", "text": text} for text in texts]
    return lambda folder: pq.write_table(pa.Table.from_pylist(rows), folder / "documents.parquet")


@pytest.fixture
def corpus(artifact) -> Artifact:
    rng = random.Random(0)
    return artifact("corpus", write_documents([f"{n} comes before {n + 1}." for n in rng.sample(range(900), 60)]))


@pytest.fixture
def tokenizer(toy_tokenizer, artifact) -> Artifact:
    return artifact("tokenizer", toy_tokenizer.save_pretrained)


def run(store: Store, corpus: Artifact, tokenizer: Artifact, **changes) -> Artifact:
    return pretrain(store, "base", corpus, tokenizer, ARCHITECTURE, CONFIG.model_copy(update=changes))


def test_both_losses_fall_from_chance(toy_store, corpus, tokenizer):
    rows = run(toy_store, corpus, tokenizer, steps=40).metrics()
    assert rows[0]["loss"] == pytest.approx(math.log(400), rel=0.05)
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert rows[-1]["mtp_loss"] < 0.6 * rows[0]["mtp_loss"]
    assert all(0 < row["tokens"] <= 96 for row in rows)


def test_recomputation_changes_nothing(toy_store, corpus, tokenizer):
    """With the sequence-wise balance loss, whose scores come from within the layers."""
    kept = run(toy_store, corpus, tokenizer, steps=3)
    again = run(Store(toy_store.root.with_name("again")), corpus, tokenizer, steps=3, recompute=True)
    assert again.key == kept.key, "memory is no part of what is made"
    assert again.digest == kept.digest


def test_an_interrupted_run_goes_on_bit_for_bit(corpus, tokenizer, assert_resumes):
    """Router biases move at each step, and the rows lie at a place in a shuffled corpus."""
    whole = assert_resumes(lambda store: run(store, corpus, tokenizer), cut=6, saved=4)
    assert len(whole.metrics()) == 10


def router_biases(folder: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor for name, tensor in tensors.items() if name.endswith("e_score_correction_bias")}


def test_biases_move_by_whole_steps_of_the_balance_speed(toy_store, corpus, tokenizer):
    biases = router_biases(run(toy_store, corpus, tokenizer).payload)
    assert set(biases) == {f"model.layers.{layer}.mlp.gate.e_score_correction_bias" for layer in (1, 2)}
    for bias in biases.values():
        steps = bias / CONFIG.balance_speed
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
        assert 0 < steps.abs().max() <= 9, "nine steps of ten move the bias, the last tenth does not"


def test_the_result_is_a_whole_model_in_float32(toy_store, corpus, tokenizer):
    base = run(toy_store, corpus, tokenizer, steps=1)
    assert {t.dtype for t in load_file(base.payload / "model.safetensors").values()} == {torch.float32}
    lm = load(base.payload)
    assert lm.mtp is not None
    assert lm.model.config.eos_token_id == lm.tokenizer.eos_token_id


def test_a_longer_decay_is_the_beginning_of_a_longer_run(toy_store, corpus, tokenizer):
    def trajectory(**settings: int) -> list[tuple[float, float, float]]:
        rows = run(toy_store, corpus, tokenizer, **settings).metrics()
        return [(row["loss"], row["grad_norm"], row["learning_rate"]) for row in rows]

    long, cut, short = trajectory(steps=8), trajectory(steps=4, decay_steps=8), trajectory(steps=4)
    assert long[:4] == cut != short


def test_the_second_phase_goes_on_from_the_first(toy_store, corpus, tokenizer, artifact):
    """Another corpus, the weights of the first phase, all of them; what comes out is bfloat16."""
    base = run(toy_store, corpus, tokenizer, steps=30)
    exercises = artifact("exercises", write_documents([f"{n} comes before {n + 1}. So {n}." for n in range(40)]))
    final = midtrain(toy_store, "final", base, exercises, CONFIG)
    assert final.metrics()[0]["loss"] < 0.8 * math.log(400)
    assert final.metrics()[0]["mtp_loss"] < 0.8 * math.log(400)
    kinds = {
        name.endswith("e_score_correction_bias"): tensor.dtype
        for name, tensor in load_file(final.payload / "model.safetensors").items()
    }
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    before, after = router_biases(base.payload), router_biases(final.payload)
    for name, bias in before.items():
        steps = (after[name] - bias) / CONFIG.balance_speed
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    assert load(final.payload).mtp is not None


def test_an_interrupted_second_phase_goes_on_bit_for_bit(toy_store, corpus, tokenizer, assert_resumes):
    base = run(toy_store, corpus, tokenizer, steps=2)
    assert_resumes(lambda store: midtrain(store, "final", base, corpus, CONFIG), cut=6, saved=4)


def test_without_balancing_the_biases_stay(toy_store, corpus, tokenizer):
    base = run(toy_store, corpus, tokenizer, steps=2, balance_speed=0.0, balance_loss=0.0)
    assert not any(bias.any() for bias in router_biases(base.payload).values())


def test_the_seed_makes_the_weights(toy_store, corpus, tokenizer):
    first, other = (run(toy_store, corpus, tokenizer, steps=1, seed=seed) for seed in (0, 1))
    assert first.digest != other.digest


def test_no_target_crosses_a_document(toy_lm):
    """Against loops over each document alone, one of them too short for any target."""
    lengths = [5, 1, 2, 4]
    ids = torch.randint(400, (12,), generator=torch.Generator().manual_seed(0))
    main, ahead = [], []
    for part in ids.split(lengths):
        segments = Segments.of([len(part)])
        hidden = toy_lm.hidden(part, segments)
        logits, mtp_logits = toy_lm.logits(hidden), toy_lm.logits(toy_lm.mtp_hidden(part, hidden, segments))
        main += [F.cross_entropy(logits[i], part[i + 1]) for i in range(len(part) - 1)]
        ahead += [F.cross_entropy(mtp_logits[i], part[i + 2]) for i in range(len(part) - 2)]
    segments = Segments.of(lengths)
    hidden = toy_lm.hidden(ids, segments)
    losses = prediction_losses(toy_lm, ids, hidden, toy_lm.mtp_hidden(ids, hidden, segments), segments)
    assert (len(main), len(ahead)) == (8, 5)
    torch.testing.assert_close(losses[0], torch.stack(main).mean(), rtol=0, atol=1e-5)
    torch.testing.assert_close(losses[1], torch.stack(ahead).mean(), rtol=0, atol=1e-5)


def rows_of(texts: list[str], tokenizer, count: int, row_tokens: int) -> list[list[list[int]]]:
    """The first rows, each as its documents' token ids."""
    config = CONFIG.model_copy(update={"row_tokens": row_tokens})
    rows = itertools.islice(_rows(texts, tokenizer, config), count)
    return [[part.tolist() for part in ids.split(segments.lengths)] for ids, segments in rows]


def test_every_document_comes_whole_once_a_pass(toy_tokenizer):
    texts = [f"{n}!" for n in range(100, 120)]
    rows = rows_of(texts, toy_tokenizer, 12, row_tokens=64)
    assert all(sum(map(len, row)) <= 64 for row in rows)
    shown = [tuple(document) for row in rows for document in row]
    everything = sorted((0, *toy_tokenizer(text)["input_ids"]) for text in texts)
    assert len(shown) > 60
    passes = [shown[i : i + 20] for i in (0, 20, 40)]
    assert all(sorted(documents) == everything for documents in passes)
    assert passes[0] != passes[1]


def test_a_corpus_smaller_than_a_row_is_repeated(toy_tokenizer):
    (row,) = rows_of(["1", "2"], toy_tokenizer, 1, row_tokens=64)
    assert sum(map(len, row)) >= 62


def test_a_document_longer_than_a_row_is_refused(toy_tokenizer):
    with pytest.raises(UserError, match="hold every document") as raised:
        rows_of(["1", "9" * 64], toy_tokenizer, 1, row_tokens=64)
    assert raised.value.got == "`row_tokens` 64 and a document of 65 tokens"


def test_the_tokenizer_is_a_stage_of_its_own(toy_store, corpus):
    settings = TokenizerSettings(vocabulary=300, documents=40, dialogues=2)
    made = make_tokenizer(toy_store, corpus, settings, context=128)
    short = make_tokenizer(toy_store, corpus, settings, context=64)
    assert made.key != short.key
    tokenizer = AutoTokenizer.from_pretrained(made.payload, local_files_only=True)
    assert len(tokenizer) == 300
    assert tokenizer.model_max_length == 128


@pytest.mark.parametrize("depth", [0, 2])
def test_another_depth_of_prediction_is_refused(depth):
    with pytest.raises(ValueError, match="num_nextn_predict_layers"):
        Architecture(**{**ARCHITECTURE.model_dump(), "num_nextn_predict_layers": depth})
