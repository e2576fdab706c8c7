"""Pre-training of the shipped base model, after sections 2 and 4.2 of the DeepSeek-V3 report, in miniature.

Kept: next-token loss plus lambda times the multi-token prediction loss; balance by router biases (speed gamma, 0 for
the last tenth) and the sequence-wise loss alpha; AdamW (0.9, 0.95), weight decay 0.1, clip 1. Documents in a row are
isolated from one another. Dropped: the batch-size schedule, the context extension, FP8. Documents carry no stop
token, so the base does not know how to end.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, DeepseekV3Config

from afterbase.core.config import what
from afterbase.core.errors import UserError
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.corpus import dialogue_texts, read_documents
from afterbase.model.attention import Segments
from afterbase.model.balance import LoadCounter, sequence_balance_loss
from afterbase.model.load import LanguageModel, build, load, save
from afterbase.model.parallel import Forward
from afterbase.train.config import Architecture, Pretraining, TokenizerSettings
from afterbase.train.loop import TrainingLoop, prepare
from afterbase.train.tokenizer import train_tokenizer

TOKENIZER_VERSION = 1
VERSION = 4
_GAMMA_ENDS = 0.9  # the report sets gamma to 0 for the last 3.4 % of its tokens; ours is a rounder share


def make_tokenizer(store: Store, corpus: Artifact, config: TokenizerSettings, *, context: int) -> Artifact:
    """A tokenizer folder, fitted on the corpus and on some dialogues of the domains."""

    def make(work: Workspace) -> None:
        texts = [*read_documents(corpus)[: config.documents], *dialogue_texts(config.dialogues, seed=0)]
        train_tokenizer(texts, vocabulary=config.vocabulary, context=context).save_pretrained(work.payload)

    settings = {**what(config), "context": context}
    return store.produce(
        "tokenizer", "tokenizer", TOKENIZER_VERSION, what=settings, inputs={"corpus": corpus}, make=make
    )


def pretrain(
    store: Store, name: str, corpus: Artifact, tokenizer: Artifact, architecture: Architecture, config: Pretraining
) -> Artifact:
    """A base model in float32, from random weights."""

    def start() -> LanguageModel:
        vocabulary = AutoTokenizer.from_pretrained(tokenizer.payload, local_files_only=True, trust_remote_code=False)
        shape = DeepseekV3Config(
            **architecture.model_dump(),
            num_key_value_heads=architecture.num_attention_heads,
            vocab_size=len(vocabulary),
            bos_token_id=vocabulary.bos_token_id,
            eos_token_id=vocabulary.eos_token_id,
            pad_token_id=vocabulary.pad_token_id,
        )
        return build(shape, vocabulary, seed=config.seed)

    return store.produce(
        name,
        "pretrain",
        VERSION,
        what={"architecture": what(architecture), "training": what(config)},
        inputs={"corpus": corpus, "tokenizer": tokenizer},
        make=lambda work: _train(work, start(), corpus, config, dtype=torch.float32),
        cost=Cost(trained=config.steps * config.row_tokens),
    )


def midtrain(store: Store, name: str, model: Artifact, corpus: Artifact, config: Pretraining) -> Artifact:
    """The finished base model in bfloat16: a second phase on another corpus, with a new schedule and optimizer."""
    return store.produce(
        name,
        "midtrain",
        VERSION,
        what=what(config),
        inputs={"model": model, "corpus": corpus},
        make=lambda work: _train(work, load(model.payload), corpus, config, dtype=torch.bfloat16),
        cost=Cost(trained=config.steps * config.row_tokens),
    )


def _train(work: Workspace, lm: LanguageModel, corpus: Artifact, config: Pretraining, *, dtype: torch.dtype) -> None:
    span = config.decay_steps or config.steps
    modules = lm.modules()
    forward = prepare(lm.model, modules, config, cpu=True)
    counter = LoadCounter(modules, keep_logits=config.balance_loss > 0)
    stream = enumerate(_rows(read_documents(corpus), lm.tokenizer, config))

    def export(folder: Path, state: Mapping[str, Tensor]) -> None:
        save(lm, folder, dtype=dtype, state=state)

    with TrainingLoop(
        work, config, modules, modules, config.steps,
        export=export, decay_steps=span, shown=("loss", "mtp_loss", "tokens_per_second"),
    ) as loop:  # fmt: skip
        for step in loop:
            row = next(row for at, row in stream if at == step)  # a resumed run passes over what it has seen
            moved = loop.update(accumulate(lm, row, config, forward, counter), row[0].tolist())
            counter.update_biases(config.balance_speed if moved and step < _GAMMA_ENDS * span else 0.0)
    save(lm, work.payload, dtype=dtype)


def accumulate(
    lm: LanguageModel, row: tuple[Tensor, Segments], config: Pretraining, forward: Forward, counter: LoadCounter
) -> dict[str, float]:
    """Gradients of a row's mean losses; what was measured."""
    ids, segments = row
    with counter.counting():
        hidden, mtp_hidden = forward(lambda: _states(lm, ids, segments))
    loss, mtp_loss = prediction_losses(lm, ids, hidden, mtp_hidden, segments)
    balance_loss = _balance_loss(counter, segments, lm)
    (loss + config.mtp_weight * mtp_loss + config.balance_loss * balance_loss).backward()
    return {
        "loss": round(loss.item(), 4),
        "mtp_loss": round(mtp_loss.item(), 4),
        "busiest_expert": round(max(counter.max_over_mean()), 3),
        "tokens": len(ids),
    }


def _states(lm: LanguageModel, ids: Tensor, segments: Segments) -> tuple[Tensor, Tensor]:
    hidden = lm.hidden(ids, segments)
    return hidden, lm.mtp_hidden(ids, hidden, segments)


def _rows(documents: Sequence[str], tokenizer, config: Pretraining) -> Iterator[tuple[Tensor, Segments]]:
    """Rows of whole documents, each behind the begin token, pass after pass in a new order.

    Raises UserError where a document is longer than a row.
    """
    encoded = [[tokenizer.bos_token_id, *ids] for ids in tokenizer(list(documents))["input_ids"]]
    longest = max(len(ids) for ids in encoded)
    if longest > config.row_tokens:
        raise UserError(
            "a row must hold every document of the corpus",
            got=f"`row_tokens` {config.row_tokens} and a document of {longest} tokens",
            remedy=f"set `row_tokens` to {longest} or more",
        )
    row: list[int] = []
    lengths: list[int] = []
    for epoch in itertools.count():
        order = list(range(len(encoded)))
        random.Random(f"{config.seed}/{epoch}").shuffle(order)
        for index in order:
            if len(row) + len(encoded[index]) > config.row_tokens:
                yield torch.tensor(row), Segments.of(lengths)
                row, lengths = [], []
            row += encoded[index]
            lengths.append(len(encoded[index]))


def prediction_losses(
    lm: LanguageModel, ids: Tensor, hidden: Tensor, mtp_hidden: Tensor, segments: Segments
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the next token and of the one after it; no target crosses a document's border."""
    left = torch.tensor(segments.lengths)[segments.sample_ids] - segments.position_ids - 1  # tokens still to come
    losses = []
    for states, ahead in ((hidden, 1), (mtp_hidden, 2)):
        at = (left >= ahead).nonzero()[:, 0]
        losses.append(F.cross_entropy(lm.logits(states.index_select(0, at)), ids.index_select(0, at + ahead)))
    return losses[0], losses[1]


def _balance_loss(counter: LoadCounter, segments: Segments, lm: LanguageModel) -> Tensor:
    top_k = lm.model.config.num_experts_per_tok
    losses = [
        sequence_balance_loss(logits.sigmoid(), segments.sample_ids, len(segments.lengths), top_k=top_k)
        for logits in counter.logits
    ]
    return torch.stack(losses).sum() if losses else torch.zeros(())
