"""Open domains (V3 report section 5.1): another model writes, people verify.

The writer here is the domain's draft generator, which plays DeepSeek-V2.5's part; the people's decisions are the
shipped, labelled set, one recorded decision a draft. Drafts that were rejected stay as dropped rows.
"""

from afterbase.core.row_files import json_rows
from afterbase.core.sample import Sample, content_id, conversation, write_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.domains import REVIEWED
from afterbase.data.review.recorded_decisions import apply_decisions, recorded_decisions

VERSION = 1


def review_open(store: Store, domain: str) -> Artifact:
    """samples.parquet: every draft of the domain with the reviewer's decision applied.

    >>> reviewed = review_open(store, "chat")
    >>> reviewed.name
    'chat review'
    """

    def make(work: Workspace) -> None:
        decisions = recorded_decisions(REVIEWED[domain])
        drafts = [draft_of(domain, row) for row in reviewed_rows(domain)]
        samples = []
        for written, reviewed in zip(drafts, apply_decisions(drafts, decisions), strict=True):
            if written.id in reviewed.parents:  # edited: the draft itself stays on record
                samples.append(written.drop("review", "edited"))
            samples.append(reviewed)
        work.log(1, 1, drafts=len(drafts), kept=sum(s.dropped is None for s in samples))
        write_samples(work.payload / "samples.parquet", samples)

    settings = {"domain": domain, "decisions": content_id(reviewed_rows(domain))}
    return store.produce(f"{domain} review", "review", VERSION, what=settings, inputs={}, make=make)


def draft_of(domain: str, row: dict) -> Sample:
    """The draft that a row of a domain's labelled set is about."""
    return Sample(
        messages=conversation(row["prompt"], row["response"]),
        domain=domain,
        kind="open",
        problem_id=None,
        producer={"name": f"{domain} draft generator"},
    )


def reviewed_rows(domain: str) -> list[dict]:
    """The rows of a domain's labelled set: prompt, response, reviewer, decision, reason, edited_response."""
    return [row.values for row in json_rows(REVIEWED[domain])]
