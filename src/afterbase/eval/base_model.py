"""What a base model card needs: held-out loss, expert load per layer with and without balancing, MTP acceptance."""

import json
import random
from collections.abc import Sequence

import torch
from torch import Tensor

from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.domains import DOMAINS
from afterbase.model.attention import Segments
from afterbase.model.balance import LoadCounter
from afterbase.model.load import LanguageModel, load

VERSION = 1
_DOCUMENTS = 100  # fresh documents a domain


def measure_base(store: Store, base: Artifact, controls: Sequence[Artifact], corpus: Artifact) -> Artifact:
    """facts.json: numbers of the base and of each control, on fresh text that the corpus does not hold."""

    def make(work: Workspace) -> None:
        facts = {a.name: measure(load(a.payload), seed=10_007) for a in (base, *controls)}
        (work.payload / "facts.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")

    inputs = {"base": base, "corpus": corpus, **{f"control_{i}": a for i, a in enumerate(controls)}}
    return store.produce("base model facts", "measure_base", VERSION, what={}, inputs=inputs, make=make)


@torch.inference_mode()
def measure(lm: LanguageModel, *, seed: int) -> dict[str, object]:
    """Loss in nats a token by domain, busiest expert over mean by MoE layer, and how often a draft is accepted."""
    counter = LoadCounter(lm.modules())
    losses: dict[str, float] = {}
    accepted: list[Tensor] = []
    agreed: list[Tensor] = []
    for name, domain in DOMAINS.items():
        rng = random.Random(f"{seed}/{name}")
        begin = lm.tokenizer.bos_token_id
        documents = [[begin, *lm.tokenizer(domain.pretraining_text(rng))["input_ids"]] for _ in range(_DOCUMENTS)]
        nats = []
        for i in range(0, _DOCUMENTS, 20):
            part = documents[i : i + 20]
            ids, segments = torch.tensor([t for d in part for t in d]), Segments.of([len(d) for d in part])
            with counter.counting():
                hidden = lm.hidden(ids, segments)
                draft = lm.mtp_hidden(ids, hidden, segments)
            logp = lm.logits(hidden).log_softmax(-1)
            left = torch.tensor(segments.lengths)[segments.sample_ids] - segments.position_ids - 1
            at = (left >= 1).nonzero()[:, 0]
            nats.append(-logp[at, ids[at + 1]])
            at = (left >= 2).nonzero()[:, 0]
            q, p = lm.logits(draft[at]).softmax(-1), logp[at + 1].exp()
            accepted.append(torch.minimum(p, q).sum(-1))  # speculative sampling's acceptance probability
            agreed.append((p.argmax(-1) == q.argmax(-1)).float())
        losses[name] = round(float(torch.cat(nats).mean()), 4)
    return {
        "held_out_loss": losses,
        "busiest_expert_over_mean": [round(x, 3) for x in counter.max_over_mean()],
        "mtp_acceptance_sampled": round(float(torch.cat(accepted).mean()), 4),
        "mtp_acceptance_greedy": round(float(torch.cat(agreed).mean()), 4),
    }
