"""What a base model card needs: held-out loss, expert load per layer with and without balancing, MTP acceptance."""

import json
import random
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.corpus import read_documents
from afterbase.data.domains import DOMAINS
from afterbase.model.attention import Segments
from afterbase.model.balance import LoadCounter
from afterbase.model.load import LanguageModel, load

VERSION = 3
_SEED = 10_007
_DOCUMENTS = 100  # fresh documents a domain
_ROW_DOCUMENTS = 20  # read at once


def measure_base(store: Store, base: Artifact, controls: Sequence[Artifact], corpus: Artifact) -> Artifact:
    """facts.json: numbers of the base and of each control, on fresh text that the corpus does not hold."""

    def make(work: Workspace) -> None:
        texts = fresh_texts(_DOCUMENTS, seed=_SEED, seen=frozenset(read_documents(corpus)))
        facts = {a.name: measure(load(a.payload), texts) for a in (base, *controls)}
        (work.payload / "facts.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")

    inputs = {"base": base, "corpus": corpus, **{f"control_{i}": a for i, a in enumerate(controls)}}
    return store.produce("base model facts", "measure_base", VERSION, what={}, inputs=inputs, make=make)


def fresh_texts(count: int, *, seed: int, seen: Collection[str]) -> dict[str, list[str]]:
    """`count` documents of every domain, none of which is in `seen`."""
    texts: dict[str, list[str]] = {}
    for name, domain in DOMAINS.items():
        rng, texts[name] = random.Random(f"{seed}/{name}"), []
        while len(texts[name]) < count:
            text = domain.pretraining_text(rng)
            if text not in seen:
                texts[name].append(text)
    return texts


@torch.inference_mode()
def measure(lm: LanguageModel, texts: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Loss in nats a token by domain, busiest expert over mean by MoE layer, and how often a draft is accepted.

    `texts` by domain. The MTP module's own layer is the last of the MoE layers. Its draft q of the token after next
    is held against the trunk's p: greedily, whether both name the same token; sampled, sum_v min(p_v, q_v), with
    which speculative sampling accepts (arXiv 2211.17192, corollary 3.6).
    """
    counter = LoadCounter(lm.modules())
    losses: dict[str, float] = {}
    accepted: list[Tensor] = []
    agreed: list[Tensor] = []
    begin = lm.tokenizer.bos_token_id
    for name, documents in texts.items():
        encoded = [[begin, *ids] for ids in lm.tokenizer(list(documents))["input_ids"]]
        nats: list[Tensor] = []
        for i in range(0, len(encoded), _ROW_DOCUMENTS):
            row = encoded[i : i + _ROW_DOCUMENTS]
            ids = torch.tensor([token for document in row for token in document])
            segments = Segments.of([len(document) for document in row])
            with counter.counting():
                hidden = lm.hidden(ids, segments)
                draft = lm.mtp_hidden(ids, hidden, segments)
            logp = lm.logits(hidden).log_softmax(-1)
            left = torch.tensor(segments.lengths)[segments.sample_ids] - segments.position_ids - 1
            at = (left >= 1).nonzero()[:, 0]
            nats.append(-logp[at, ids[at + 1]])
            at = (left >= 2).nonzero()[:, 0]
            q, p = lm.logits(draft[at]).softmax(-1), logp[at + 1].exp()
            accepted.append(torch.minimum(p, q).sum(-1))
            agreed.append((p.argmax(-1) == q.argmax(-1)).float())
        losses[name] = round(float(torch.cat(nats).mean()), 4)
    return {
        "held_out_loss": losses,
        "busiest_expert_over_mean": [round(x, 3) for x in counter.max_over_mean()],
        "mtp_acceptance_sampled": round(float(torch.cat(accepted).mean()), 4),
        "mtp_acceptance_greedy": round(float(torch.cat(agreed).mean()), 4),
    }
