"""Supervised fine-tuning (V3 report section 5.1): packed, isolated samples, cosine to a floor.

Kept: two epochs, cosine decay to a floor, every row packed from several samples, samples mutually invisible, loss on
the assistant's tokens only. The report does not say whether the multi-token prediction loss runs on; ours does, with
the weight of late pre-training (0.1), and router biases stay where pre-training left them.
"""

import json
import time
from collections import Counter

import torch
from pydantic import Field
from torch import Tensor

from afterbase.core.config import Config, what
from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, read_samples
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.core.tokens import Tokenized, tokenize
from afterbase.data.pack import Pack, pack
from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel, load, save
from afterbase.train.losses.tokens import token_logps
from afterbase.train.optimise import (
    Checkpoint,
    Optimisation,
    SkippedSteps,
    adamw,
    gather_trained,
    learning_rate,
    update,
)

VERSION = 2


class Sft(Config):
    """One run of supervised fine-tuning."""

    epochs: int = Field(default=2, ge=1)
    row_tokens: int = Field(default=2048, ge=64)
    """Tokens of a packed row; a longer sample is dropped and counted."""
    rows_per_step: int = Field(default=1, ge=1)
    mtp_weight: float = Field(default=0.1, ge=0)
    optimisation: Optimisation
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between resumable checkpoints."""


def train_sft(
    store: Store, name: str, model: Artifact, data: Artifact, config: Sft, *, seed: int, expected_tokens: int = 0
) -> Artifact:
    """A model folder, fine-tuned on the samples of `data` that were not dropped."""
    return store.produce(
        name,
        "sft",
        VERSION,
        what={**what(config), "seed": seed},
        inputs={"model": model, "data": data},
        make=lambda work: _train(work, model, data, config, seed),
        cost=Cost(trained=config.epochs * expected_tokens),
    )


def _train(work: Workspace, model: Artifact, data: Artifact, config: Sft, seed: int) -> None:
    lm = load(model.payload)
    samples = [s for s in read_samples(data.payload / "samples.parquet") if s.dropped is None]
    tokenized, report = tokenize_for_training(lm, samples, config.row_tokens)
    (work.payload / "data.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    plan = _plan(tokenized, config, seed)
    modules = lm.modules().train()
    optimizer = adamw(modules, config.optimisation)
    checkpoint, skipped = Checkpoint(work.scratch, modules, optimizer), SkippedSteps()
    done, _ = checkpoint.load()
    work.rewind(done)
    for step in range(done, len(plan)):
        started = time.monotonic()
        loss, mtp_loss = _accumulate(lm, plan[step], config.mtp_weight)
        rate = learning_rate(step, len(plan), config.optimisation)
        norm = update(optimizer, rate, config.optimisation.clip)
        skipped.see(norm)
        tokens = sum(len(p.ids) for p in plan[step])
        work.log(
            step + 1,
            len(plan),
            loss=round(loss, 4),
            mtp_loss=round(mtp_loss, 4),
            grad_norm=round(norm, 4),
            learning_rate=rate,
            tokens=tokens,
            tokens_per_second=round(tokens / (time.monotonic() - started)),
        )
        if (step + 1) % config.checkpoint_every == 0:
            checkpoint.save(step + 1)
    save(lm, work.payload)


def tokenize_for_training(
    lm: LanguageModel, samples: list[Sample], longest: int
) -> tuple[list[Tokenized], dict[str, object]]:
    """Token ids and loss masks of all samples that fit, and counts of what was left out and what is trained.

    Raises UserError where no token would be trained.
    """
    tokenized, too_long = [], 0
    all_tokens: Counter[str] = Counter()
    trained_tokens: Counter[str] = Counter()
    for sample in samples:
        tokens = tokenize(lm.tokenizer, sample.messages)
        if len(tokens.ids) > longest:
            too_long += 1
            continue
        tokenized.append(tokens)
        source = f"{sample.domain}/{sample.kind}"
        all_tokens[source] += len(tokens.ids)
        trained_tokens[source] += sum(tokens.trained)
    if not sum(trained_tokens.values()):
        raise UserError(
            "supervised fine-tuning needs at least one token that bears loss",
            got=f"{len(samples)} samples, {too_long} of them longer than {longest} tokens, and no trained token",
            remedy="check that the data holds assistant turns, that curation kept some rows, and `row_tokens`",
        )
    shares = {source: round(trained_tokens[source] / count, 4) for source, count in all_tokens.items()}
    return tokenized, {"samples": len(tokenized), "too_long": too_long, "trained_share": shares}


def _plan(tokenized: list[Tokenized], config: Sft, seed: int) -> list[list[Pack]]:
    """The rows of every step of every epoch; fixed by the seed, so a resumed run continues the same plan."""
    steps = []
    for epoch in range(config.epochs):
        rows = pack(tokenized, config.row_tokens, seed=seed * 1000 + epoch)
        steps += [rows[i : i + config.rows_per_step] for i in range(0, len(rows), config.rows_per_step)]
    return steps


def _accumulate(lm: LanguageModel, rows: list[Pack], mtp_weight: float) -> tuple[float, float]:
    """Gradients of the mean loss over all trained tokens of the step's rows, whatever the rows; the two mean losses."""
    masks = [torch.tensor(row.trained) for row in rows]
    segments = [Segments.of(row.lengths) for row in rows]
    mtp_masks = [_two_ahead(mask, segment) for mask, segment in zip(masks, segments, strict=True)]
    count, mtp_count = (max(1, sum(int(m.sum()) for m in group)) for group in (masks, mtp_masks))
    loss = mtp_loss = 0.0
    for row, segment, mask, mtp_mask in zip(rows, segments, masks, mtp_masks, strict=True):
        ids = torch.tensor(row.ids)
        hidden = lm.hidden(ids, segment)
        head = lm.head
        main = -token_logps(*_states_first(gather_trained(hidden, ids, mask), head)).sum() / count
        total = main
        if lm.mtp is not None and mtp_weight > 0:
            ahead = lm.mtp_hidden(ids, hidden, segment).roll(1, 0)
            mtp = -token_logps(*_states_first(gather_trained(ahead, ids, mtp_mask), head)).sum() / mtp_count
            total = main + mtp_weight * mtp
            mtp_loss += mtp.item()
        total.backward()
        loss += main.item()
    return loss, mtp_loss


def _states_first(gathered: tuple[Tensor, Tensor], head: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return gathered[0], head, gathered[1]


def _two_ahead(trained: Tensor, segments: Segments) -> Tensor:
    """Trained tokens that the MTP module can predict: at least two tokens of the same sample come before them."""
    return trained & (segments.position_ids >= 2)
