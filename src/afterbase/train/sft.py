"""Supervised fine-tuning (V3 report section 5.1): packed, isolated samples, cosine to a floor.

Kept: two epochs, cosine decay to a floor, every row packed from several samples, samples mutually invisible, loss on
the assistant's tokens only. The report does not say whether the multi-token prediction loss runs on; ours does, with
the weight of late pre-training (0.1), and router biases stay where pre-training left them.
"""

import contextlib
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from afterbase.core import distributed as ranks
from afterbase.core.config import what
from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, read_samples
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.core.tokens import Tokenized
from afterbase.data.pack import Pack, pack
from afterbase.data.sample_tokens import sample_rows
from afterbase.model.attention import Segments
from afterbase.model.balance import LoadCounter
from afterbase.model.families import attention_chunk, context_length
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.parallel import Forward, backward, direct, whole_state
from afterbase.model.probe import refuse_other_lengths
from afterbase.train.config import Sft
from afterbase.train.logprobs import token_logps
from afterbase.train.loop import TrainingLoop, growth, prepare, refuse_unmeasurable
from afterbase.train.lora import add_lora, merged, save_adapter
from afterbase.train.optimizer import gather_trained

VERSION = 10


@dataclass
class Examples:
    """Tokenised samples or pieces, each one's source (domain/kind) and sample, and what was left out.

    `too_long`: (id, tokens); `refused`: (id, why), of samples that the chat template does not take.
    """

    tokenized: list[Tokenized] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    too_long: list[tuple[str, int]] = field(default_factory=list)
    refused: list[tuple[str, UserError]] = field(default_factory=list)

    def report(self) -> dict[str, object]:
        """How many samples, which were left out and why, and the share of each source's tokens that bears loss."""
        tokens: Counter[str] = Counter()
        trained: Counter[str] = Counter()
        for source, sample in zip(self.sources, self.tokenized, strict=True):
            tokens[source] += len(sample.ids)
            trained[source] += sum(sample.trained)
        too_long = [{"id": i, "reason": "too long", "tokens": n} for i, n in self.too_long]
        refused = [{"id": i, "reason": f"{error.rule}; {error.got}"} for i, error in self.refused]
        return {
            "samples": len(self.tokenized),
            "too_long": len(self.too_long),
            "dropped": [*too_long, *refused],
            "trained_share": {source: round(trained[source] / count, 4) for source, count in tokens.items()},
        }


def train_sft(
    store: Store,
    name: str,
    model: Artifact,
    data: Artifact,
    config: Sft,
    *,
    seed: int,
    expected_tokens: int = 0,
    held_out: Artifact | None = None,
) -> Artifact:
    """A model folder, fine-tuned on the samples of `data` that were not dropped; data.json says which those are.

    It is measured on the samples of `held_out`, or on the share of `data` that the settings keep for it. With `lora`
    the additions stand beside the merged weights, in `adapter/`.

    >>> config = Sft(epochs=1, optimisation={"learning_rate": 1e-4})
    >>> sft = train_sft(store, "SFT", base, drafts, config, seed=0)
    >>> load(sft.payload).model.config.model_type
    'deepseek_v3'
    """
    store = store.growing(growth("epochs", config))
    return store.produce(
        name,
        "sft",
        VERSION,
        what={**what(config), "seed": seed},
        inputs={"model": model, "data": data} | ({} if held_out is None else {"held_out": held_out}),
        make=lambda work: _train(work, model, (data, held_out), config, seed),
        cost=Cost(trained=config.epochs * expected_tokens),
        together=True,
    )


def _train(work: Workspace, model: Artifact, data: tuple[Artifact, Artifact | None], config: Sft, seed: int) -> None:
    lm = load(model.payload)
    examples = _read(lm, data[0], config)
    (work.payload / "data.json").write_text(json.dumps(examples.report(), indent=2, sort_keys=True) + "\n")
    if data[1] is None:
        training, held_out = _split(examples, config.held_out, seed)
        kept = [examples.tokenized[i] for i in held_out]
    else:
        training, kept = list(range(len(examples.tokenized))), _read(lm, data[1], config).tokenized
    refuse_unmeasurable(config, kept)
    plan = _plan(examples.tokenized, training, config, seed)
    measured = pack(kept, config.row_tokens, seed=0)
    if config.lora is not None:
        add_lora(lm, config.lora, seed=seed)
    modules = lm.modules()
    forward, counter = prepare(lm.model, modules, config), LoadCounter(modules)

    def export(folder: Path, state: Mapping[str, Tensor]) -> None:
        save(lm, folder, state=merged(state, config.lora))

    shown = ("loss", "held_out_loss", "tokens_per_second")
    with TrainingLoop(work, config, modules, modules, len(plan), export=export, shown=shown) as loop:
        for step in loop:
            loss, mtp_loss = accumulate(
                lm, plan[step], config.mtp_weight, forward, detached=config.mtp_detached, counter=counter
            )
            numbers = {"loss": round(loss, 6), "mtp_loss": round(mtp_loss, 4), **_amounts(plan[step], examples.sources)}
            if counter.routers:
                numbers["busiest_expert"] = round(max(counter.max_over_mean()), 3)
                counter.reset()
            loop.update(numbers, [{"ids": r.ids, "trained": r.trained, "lengths": r.lengths} for r in plan[step]])
            if measured and loop.evaluates:
                held_out_loss = mean_loss(lm, measured, forward)
                loop.score(held_out_loss, **{"held_out_loss": held_out_loss, "held_out_loss/rows": len(kept)})
    state = whole_state(modules)
    save(lm, work.payload, state=merged(state, config.lora), now=True)
    save_adapter(lm, work.payload, state, config.lora)


def _read(lm: LanguageModel, data: Artifact, config: Sft) -> Examples:
    """The samples of an artifact that were not dropped, tokenised, after a look at whether the model reads them."""
    examples = tokenize_for_training(
        lm, [s for s in read_samples(data.payload / "samples.parquet") if not s.dropped], config
    )
    lengths = [len(sample.ids) for sample in examples.tokenized]
    refuse_other_lengths(lm, max(lengths), min(lengths))
    return examples


def tokenize_for_training(lm: LanguageModel, samples: Sequence[Sample], config: Sft) -> Examples:
    """Token ids and loss masks of all samples that fit, or of their pieces; of a sample as many as its template needs.

    A sample that the chat template refuses or changes is left out. Raises UserError where no token would be trained.
    """
    model = lm.model.config
    longest = int(min(config.row_tokens, context_length(model), attention_chunk(model)))
    examples = Examples()
    for sample in samples:
        try:
            rows = _rows(lm, sample)
        except UserError as error:
            examples.refused.append((sample.id, error))
            continue
        for tokens in rows:
            if len(tokens.ids) > longest and config.too_long == "drop":
                examples.too_long.append((sample.id, len(tokens.ids)))
                continue
            pieces = _pieces(tokens, longest)
            examples.tokenized += pieces
            examples.sources += [f"{sample.domain}/{sample.kind}"] * len(pieces)
            examples.samples += [sample.id] * len(pieces)
    if examples.refused and len(examples.refused) == len(samples):
        raise examples.refused[0][1]
    if not any(any(t.trained) for t in examples.tokenized):
        raise UserError(
            "supervised fine-tuning needs at least one token that bears loss",
            got=f"{len(samples)} samples, {len(examples.too_long)} of them longer than {longest} tokens, "
            f"{len(examples.refused)} that the chat template does not take, and no trained token",
            remedy="check that the data holds assistant turns, that curation kept some rows, and `row_tokens`",
        )
    return examples


def _rows(lm: LanguageModel, sample: Sample) -> list[Tokenized]:
    try:
        return sample_rows(lm.tokenizer, sample)
    except UserError as error:
        raise UserError(error.rule, got=f"{error.got}, in sample {sample.id}", remedy=error.remedy) from error


def _pieces(tokens: Tokenized, longest: int) -> list[Tokenized]:
    """A sample in pieces of at most `longest` tokens that do not see each other; nothing predicts a piece's first."""
    starts = range(0, len(tokens.ids), longest)
    return [Tokenized(tokens.ids[i : i + longest], [False, *tokens.trained[i + 1 : i + longest]]) for i in starts]


def _split(examples: Examples, held_out: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices to train on and to measure the loss on, in ascending order; all pieces of a sample on one side.

    Raises UserError where no token is left to train on, or none to measure.
    """
    samples = list(dict.fromkeys(examples.samples))
    count = max(1, round(held_out * len(samples))) if held_out else 0
    kept = set(random.Random(seed).sample(samples, count))
    training = [i for i, sample in enumerate(examples.samples) if sample not in kept]
    measured = [i for i, sample in enumerate(examples.samples) if sample in kept]
    for indices in (training, measured) if kept else (training,):
        if not any(any(examples.tokenized[i].trained) for i in indices):
            raise UserError(
                "both sides of `held_out` need a token that bears loss",
                got=f"{len(samples)} samples, {count} of them held out",
                remedy="add samples, or change `held_out`",
            )
    return training, measured


def _plan(tokenized: Sequence[Tokenized], training: Sequence[int], config: Sft, seed: int) -> list[list[Pack]]:
    """The rows of every step of every epoch, with members that index `tokenized`.

    Fixed by the seed, so a resumed run continues the same plan, and every rank knows all of it.
    """
    steps = []
    for epoch in range(config.epochs):
        rows = pack([tokenized[i] for i in training], config.row_tokens, seed=seed * 1000 + epoch)
        rows = [Pack(r.ids, r.trained, r.lengths, [training[m] for m in r.members]) for r in rows]
        steps += [rows[i : i + config.rows_per_step] for i in range(0, len(rows), config.rows_per_step)]
    return steps


def _amounts(rows: Sequence[Pack], sources: Sequence[str]) -> dict[str, float]:
    """Tokens of a step, and the share of them that bears loss: of all, and of each source's."""
    tokens: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for row in rows:
        start = 0
        for member, length in zip(row.members, row.lengths, strict=True):
            tokens[sources[member]] += length
            trained[sources[member]] += sum(row.trained[start : start + length])
            start += length
    shares = {f"trained_share/{source}": round(trained[source] / count, 4) for source, count in tokens.items()}
    return {"tokens": tokens.total(), "trained_share": round(trained.total() / tokens.total(), 4), **shares}


def accumulate(
    lm: LanguageModel,
    rows: Sequence[Pack],
    mtp_weight: float,
    forward: Forward = direct,
    *,
    detached: bool = False,
    counter: LoadCounter | None = None,
) -> tuple[float, float]:
    """Gradients of the mean loss over all trained tokens of the step's rows, whatever the rows; the two mean losses.

    Of several ranks each takes a share of the rows; losses and gradients are those of all. `detached`: see
    `mtp_detached`. `counter` counts what each expert gets of the rows.
    """
    count, mtp_count = _counts(rows)
    loss = mtp_loss = 0.0
    for row, weight in ranks.share(rows):
        with counter.counting() if counter is not None and weight else contextlib.nullcontext():
            main, ahead = forward(lambda row=row: _row_losses(lm, row, with_mtp=mtp_weight > 0, detached=detached))
        main, ahead = weight * main / count, weight * ahead / mtp_count
        backward(main + mtp_weight * ahead)
        loss += main.item()
        mtp_loss += ahead.item()
    loss, mtp_loss = ranks.totals(loss, mtp_loss)
    return loss, mtp_loss


@torch.no_grad()
def mean_loss(lm: LanguageModel, rows: Sequence[Pack], forward: Forward = direct) -> float:
    """The mean loss over all trained tokens of the rows."""
    loss = 0.0
    for row, weight in ranks.share(rows):
        loss += weight * forward(lambda row=row: _row_losses(lm, row, with_mtp=False))[0].item()
    return ranks.totals(loss)[0] / _counts(rows)[0]


def _counts(rows: Sequence[Pack]) -> tuple[int, int]:
    """Trained tokens of all rows, and those that the MTP module can predict; at least 1, to be divided by."""
    main = ahead = 0
    for row in rows:
        start = 0
        for length in row.lengths:
            main += sum(row.trained[start : start + length])
            ahead += sum(row.trained[start + 2 : start + length])
            start += length
    return max(1, main), max(1, ahead)


def _row_losses(lm: LanguageModel, row: Pack, *, with_mtp: bool, detached: bool = False) -> tuple[Tensor, Tensor]:
    """Summed over one row's trained tokens: the loss of the next token, and of the one after it (0 without MTP)."""
    ids, trained = torch.tensor(row.ids, device=lm.device), torch.tensor(row.trained, device=lm.device)
    segments = Segments.of(row.lengths, lm.device)
    hidden = lm.hidden(ids, segments)
    states, targets = gather_trained(hidden, ids, trained)
    main = -token_logps(states, lm.head, targets).sum()
    if lm.mtp is None or not with_mtp:
        return main, main.new_zeros(())
    ahead = lm.mtp_hidden(ids, hidden, segments, detached=detached).roll(1, 0)
    states, targets = gather_trained(ahead, ids, _two_ahead(trained, segments))
    return main, -token_logps(states, lm.head.detach() if detached else lm.head, targets).sum()


def _two_ahead(trained: Tensor, segments: Segments) -> Tensor:
    """Trained tokens that the MTP module can predict: at least two tokens of the same sample come before them."""
    return trained & (segments.position_ids >= 2)
