"""SFT and DPO beside TRL's trainers, step by step: the same rows, the same settings, the same losses.

    python benchmarks/against_trl.py FOLDER [--steps 20]

FOLDER holds a model, such as the one that `python benchmarks/smollm2.py` makes. Ours are the stages as a recipe runs
them, with one sample a row; TRL's trainers get the tokens of the same batches in the same order. AdamW has the same
settings, and the learning rate is constant, as schedules differ in where they end. Prints a table for each method.
"""

import argparse
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from afterbase.core.sample import Sample, conversation, write_samples
from afterbase.core.store import Artifact, Store
from afterbase.core.tokens import Tokenized
from afterbase.data.base_model import import_base
from afterbase.model.load import load
from afterbase.train.config import Optimisation, Sft
from afterbase.train.preference.config import Dpo
from afterbase.train.preference.dpo import train_dpo
from afterbase.train.preference.preference_pairs import batches, read_pairs
from afterbase.train.sft import _plan, tokenize_for_training, train_sft

BATCH = 4
WORDS = (
    "red",
    "blue",
    "green",
    "small",
    "large",
    "old",
    "new",
    "warm",
    "cold",
    "slow",
    "fast",
    "good",
    "late",
    "early",
)


@dataclass(frozen=True)
class Losses:
    """Of every step."""

    ours: list[float]
    trls: list[float]

    @property
    def difference(self) -> float:
        """The largest."""
        return max(abs(a - b) for a, b in zip(self.ours, self.trls, strict=True))


class _TokenizedSft(SFTTrainer):
    """On rows that are tokenised already."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class _TokenizedDpo(DPOTrainer):
    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def compare_sft(folder: Path, work: Path, *, steps: int, rate: float) -> Losses:
    """Losses of fine-tuning the model in `folder` on sentences that we make up."""
    rng = random.Random(0)
    store = Store(work / "store")
    samples = [
        Sample(
            messages=conversation(f"Say {_words(rng, 4)}.", _words(rng, rng.randint(20, 24))),
            domain="toy",
            kind="own",
            problem_id=None,
            producer={},
        )
        for _ in range(BATCH * steps)
    ]
    data = _artifact(store, "samples", lambda path: write_samples(path / "samples.parquet", samples))
    lm, base = load(folder), import_base(store, folder)
    longest = max(
        len(tokens.ids) for tokens in tokenize_for_training(lm, samples, Sft(optimisation=_rate(rate))).tokenized
    )
    config = Sft(epochs=1, rows_per_step=BATCH, row_tokens=max(64, longest), mtp_weight=0.0, optimisation=_rate(rate))
    tokenized = tokenize_for_training(lm, samples, config).tokenized
    plan = _plan(tokenized, range(len(samples)), config, 0)
    assert all(len(row.members) == 1 for step in plan for row in step), "one sample a row"
    made = train_sft(store, "SFT", base, data, config, seed=0)
    rows = [tokenized[row.members[0]] for step in plan for row in step]
    trainer = _TokenizedSft(
        model=_trls_model(folder),
        args=SFTConfig(**_settings(work, rate), max_length=None),
        train_dataset=Dataset.from_list([{"input_ids": r.ids, "labels": _labels(r)} for r in rows]),
        processing_class=lm.tokenizer,
    )
    return Losses([row["loss"] for row in made.metrics()], _losses(trainer))


def compare_dpo(folder: Path, work: Path, *, steps: int, rate: float) -> Losses:
    """Losses of DPO on answers of our making, the better ones with a word more in common."""
    rng = random.Random(0)
    store = Store(work / "store")
    rows = [
        {"prompt": f"Say {_words(rng, 4)}.", "chosen": f"{_words(rng, 5)} please", "rejected": f"{_words(rng, 9)} no"}
        for _ in range(BATCH * steps)
    ]
    data, held_out = (
        _artifact(
            store, name, lambda path, some=some: pq.write_table(pa.Table.from_pylist(some), path / "pairs.parquet")
        )
        for name, some in (("pairs", rows), ("held out", rows[:1]))
    )
    lm, base = load(folder), import_base(store, folder)
    config = Dpo(pairs_per_step=BATCH, optimisation=_rate(rate))
    made = train_dpo(store, "DPO", base, data, None, config, seed=0, held_out=held_out)
    pairs = [p for batch in batches(read_pairs(lm, data).kept, BATCH, epochs=1, seed=0) for p in batch]
    trainer = _TokenizedDpo(
        model=_trls_model(folder),
        ref_model=_trls_model(folder),
        args=DPOConfig(**_settings(work, rate), beta=config.strength, max_length=None),
        train_dataset=Dataset.from_list([_ids_of(p.chosen, p.rejected) for p in pairs]),
        processing_class=lm.tokenizer,
    )
    return Losses([row["loss"] for row in made.metrics()], _losses(trainer))


def _artifact(store: Store, name: str, write: Any) -> Artifact:
    return store.produce(name, name, 1, what={}, inputs={}, make=lambda work: write(work.payload))


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))


def _rate(rate: float) -> Optimisation:
    return Optimisation(learning_rate=rate, schedule="constant")


def _settings(work: Path, rate: float) -> dict[str, Any]:
    """Ours, in TRL's words."""
    return {
        "output_dir": str(work / "trl"), "report_to": "none", "use_cpu": True, "bf16": False, "save_strategy": "no",
        "per_device_train_batch_size": BATCH, "num_train_epochs": 1, "train_sampling_strategy": "sequential",
        "learning_rate": rate, "lr_scheduler_type": "constant", "adam_beta1": 0.9, "adam_beta2": 0.95,
        "adam_epsilon": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0, "logging_steps": 1, "disable_tqdm": True,
    }  # fmt: skip


def _trls_model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32", attn_implementation="eager")


def _labels(row: Tokenized) -> list[int]:
    return [token if trained else -100 for token, trained in zip(row.ids, row.trained, strict=True)]


def _ids_of(chosen: Tokenized, rejected: Tokenized) -> dict[str, list[int]]:
    """What TRL's collator takes: a prompt's tokens, and those of each answer that bear loss."""
    start = chosen.trained.index(True)
    answers = [[i for i, bears in zip(a.ids, a.trained, strict=True) if bears] for a in (chosen, rejected)]
    return {"prompt_ids": chosen.ids[:start], "chosen_ids": answers[0], "rejected_ids": answers[1]}


def _losses(trainer: Any) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def tell(name: str, losses: Losses) -> None:
    """A table of the losses of every step."""
    print(f"{name}\nstep |    ours |     TRL | difference")
    for step, (ours, trls) in enumerate(zip(losses.ours, losses.trls, strict=True), start=1):
        print(f"{step:4} | {ours:7.4f} | {trls:7.4f} | {abs(ours - trls):.6f}")
    print(f"largest difference: {losses.difference:.6f}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args(arguments)
    for name, compare, rate in (("SFT", compare_sft, 1e-5), ("DPO", compare_dpo, 1e-6)):
        with tempfile.TemporaryDirectory() as work:
            tell(name, compare(given.folder, Path(work), steps=given.steps, rate=rate))


if __name__ == "__main__":
    main()
