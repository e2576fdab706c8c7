"""Raw text for the base model: fragments of every domain, in no chat form, and none that ends in a stop token."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, PositiveInt

from afterbase.core.config import Config, what
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.domains import DOMAINS, OPEN, REASONING

VERSION = 2


class Corpus(Config):
    """How much text of each domain."""

    documents: dict[str, PositiveInt] = Field(min_length=1)
    """Documents per domain."""
    seed: int = 0
    """Of the texts and their order."""


def make_corpus(store: Store, config: Corpus) -> Artifact:
    """documents.parquet: rows {domain, text} in shuffled order; a domain's texts do not depend on the others."""

    def make(work: Workspace) -> None:
        rows = []
        for done, (domain, count) in enumerate(config.documents.items()):
            work.show(done, len(config.documents), domain=domain)
            rng = random.Random(f"{config.seed}/{domain}")
            rows += [{"domain": domain, "text": DOMAINS[domain].pretraining_text(rng)} for _ in range(count)]
        random.Random(config.seed).shuffle(rows)
        pq.write_table(pa.Table.from_pylist(rows), work.payload / "documents.parquet")

    return store.produce("corpus", "corpus", VERSION, what=what(config), inputs={}, make=make)


class WorkedCorpus(Config):
    """The second phase: longer documents, in which exercises are worked out between other fragments."""

    documents: PositiveInt
    """How many, in all."""
    shares: dict[str, float] = Field(min_length=1)
    """How often a fragment is of each domain, as weights."""
    fragments: PositiveInt
    """Fragments of a document."""
    worked: float = Field(ge=0, le=1)
    """Share of the reasoning domains' fragments that are worked exercises."""
    seed: int = 0
    """Of the texts and their order."""


def make_worked_corpus(store: Store, config: WorkedCorpus) -> Artifact:
    """documents.parquet: rows {domain: `mixed`, text}, several fragments each."""

    def make(work: Workspace) -> None:
        rng = random.Random(config.seed)
        texts = ["\n".join(_fragment(config, rng) for _ in range(config.fragments)) for _ in range(config.documents)]
        rows = [{"domain": "mixed", "text": text} for text in texts]
        pq.write_table(pa.Table.from_pylist(rows), work.payload / "documents.parquet")

    return store.produce("worked corpus", "worked_corpus", VERSION, what=what(config), inputs={}, make=make)


def _fragment(config: WorkedCorpus, rng: random.Random) -> str:
    name = rng.choices(list(config.shares), list(config.shares.values()))[0]
    if name in REASONING and rng.random() < config.worked:
        return DOMAINS[name].worked_text(rng)
    return DOMAINS[name].pretraining_text(rng)


def read_documents(artifact: Artifact) -> list[str]:
    """The texts, in their shuffled order."""
    return pq.read_table(artifact.payload / "documents.parquet")["text"].to_pylist()


def dialogue_texts(count: int, *, seed: int) -> list[str]:
    """Prompts of all domains and answers of the reasoning ones, for the tokenizer's merges: no model trains on them."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        for name in REASONING:
            domain = DOMAINS[name]
            problem = domain.problem(rng)
            texts += [problem.prompt, domain.original_response(problem, rng), domain.teacher_response(problem, rng)]
        texts += [DOMAINS[name].problem(rng).prompt for name in OPEN]
    return texts
