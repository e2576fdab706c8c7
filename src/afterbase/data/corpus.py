"""Raw text for the base model: fragments of every domain, in no chat form, and none that ends in a stop token."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from afterbase.core.config import Config, what
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.domains import DOMAINS, REASONING

VERSION = 1


class Corpus(Config):
    """How much text of each domain."""

    documents: dict[str, int] = Field(min_length=1)
    """Documents per domain."""
    seed: int = 0


def make_corpus(store: Store, config: Corpus) -> Artifact:
    """documents.parquet: rows {domain, text} in shuffled order."""

    def make(work: Workspace) -> None:
        rows = []
        for done, (domain, count) in enumerate(config.documents.items()):
            work.show(done, len(config.documents), domain=domain)
            rng = random.Random(f"{config.seed}/{domain}")
            rows += [{"domain": domain, "text": DOMAINS[domain].pretraining_text(rng)} for _ in range(count)]
        random.Random(config.seed).shuffle(rows)
        pq.write_table(pa.Table.from_pylist(rows), work.payload / "documents.parquet")

    return store.produce("corpus", "corpus", VERSION, what=what(config), inputs={}, make=make)


def read_documents(artifact: Artifact) -> list[str]:
    """The texts, in their shuffled order."""
    return pq.read_table(artifact.payload / "documents.parquet")["text"].to_pylist()


def dialogue_texts(count: int, *, seed: int) -> list[str]:
    """Prompts and answers of the reasoning domains, for the tokenizer's merges only: the base never trains on them."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        for name in REASONING:
            domain = DOMAINS[name]
            problem = domain.problem(rng)
            texts += [problem.prompt, domain.original_response(problem, rng), domain.teacher_response(problem, rng)]
        texts.append(DOMAINS["chat"].problem(rng).prompt)
    return texts


