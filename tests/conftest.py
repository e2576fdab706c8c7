"""What every test shares: no network for models, and the folder of reference data."""

import gc
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported anywhere
# Toy matrices gain nothing from a second thread, and on shared cores the threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
gc.disable()  # until all modules are imported: a quarter of that time went into looking through them for garbage
settings.register_profile("no deadline", deadline=None)  # a busy machine is no error
settings.load_profile("no deadline")


def pytest_configure(config: pytest.Config) -> None:
    """A folder for temporary files to each of several workers: tests look there for what programs have left."""
    if not hasattr(config, "workerinput"):
        return
    folder = tempfile.mkdtemp(prefix="worker-")
    os.chmod(folder, 0o755)  # programs run as users of their own
    os.environ["TMPDIR"], tempfile.tempdir = folder, folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_finish() -> None:
    """What is there before the first test stays to the end, and no later search for garbage looks through it again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def afterbase_data() -> Path:
    """The folder AFTERBASE_DATA of reference data; without it a test skips, or fails if AFTERBASE_REQUIRE_DATA=1."""
    folder = os.environ.get("AFTERBASE_DATA")
    if folder and Path(folder).is_dir():
        return Path(folder).resolve()
    reason = f"AFTERBASE_DATA is no folder: {folder}" if folder else "AFTERBASE_DATA is not set"
    if os.environ.get("AFTERBASE_REQUIRE_DATA") == "1":
        pytest.fail(f"reference data are required here: {reason}")
    pytest.skip(f"needs reference data: {reason}")


@pytest.fixture(scope="session")
def toy_tokenizer():
    """A small tokenizer that knows the chat template."""
    from afterbase.data.corpus import dialogue_texts
    from afterbase.train.tokenizer import train_tokenizer

    return train_tokenizer(dialogue_texts(20, seed=0), vocabulary=400, context=512)


@pytest.fixture
def toy_lm(toy_tokenizer):
    """A fresh random DeepSeek-V3 in float32 with an MTP module: small enough to train in a test."""
    from transformers import DeepseekV3Config

    from afterbase.model.load import build

    config = DeepseekV3Config(
        vocab_size=len(toy_tokenizer),
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        n_shared_experts=1,
        n_routed_experts=8,
        num_experts_per_tok=2,
        n_group=4,
        topk_group=2,
        first_k_dense_replace=1,
        kv_lora_rank=16,
        q_lora_rank=24,
        qk_nope_head_dim=16,
        qk_rope_head_dim=8,
        v_head_dim=16,
        num_mtp_layers=1,
        max_position_embeddings=512,
        bos_token_id=toy_tokenizer.bos_token_id,
        eos_token_id=toy_tokenizer.eos_token_id,
        pad_token_id=toy_tokenizer.pad_token_id,
        initializer_range=0.1,
    )
    return build(config, toy_tokenizer, seed=0)


@pytest.fixture
def toy_folder(toy_lm, tmp_path):
    """The toy model as a Hugging Face folder."""
    from afterbase.model.load import save

    save(toy_lm, tmp_path / "toy-model")
    return tmp_path / "toy-model"


@pytest.fixture
def micro(toy_folder, tmp_path):
    """The file of a whole recipe at its smallest, on the toy model."""
    path = tmp_path / "micro.toml"
    text = Path(__file__).with_name("micro.toml").read_text()
    path.write_text(text.replace('"toy-model"', json.dumps(str(toy_folder))))
    return path
