"""The review as a stage of a recipe: drafts go to people, and their decisions come back on the samples.

The run opens the review before it trains the experts, so that people can begin immediately, and stops at the stage
until they have done what the policy asks. What they decided is then fixed in an artifact; asking for more later (a
larger share, say) is another artifact, to which their verdicts still count.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterbase.core import distributed as ranks
from afterbase.core.config import what
from afterbase.core.errors import UserError, Waiting, refuse_missing_extra
from afterbase.core.sample import Sample, read_samples, write_samples
from afterbase.core.store import Artifact, Store, Workspace, stage_key, write_atomically
from afterbase.data.generate.open_domains import draft_of, reviewed_rows
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_queue import queue
from afterbase.data.review.review_results import agreement_report, decided_samples, verdict_row
from afterbase.verify.rubric import check_rubric, has_rubric

if TYPE_CHECKING:
    from afterbase.data.review.review_store import ReviewStore

DRAFTS_VERSION = 1
VERSION = 1
_STAGE = "people's review"
GUIDELINE = Path(__file__).with_name("guideline.md")


def open_drafts(store: Store, domain: str) -> Artifact:
    """samples.parquet: an open domain's drafts, each with its rubric's verdict, which no reviewer is shown."""

    def make(work: Workspace) -> None:
        samples = []
        for row in reviewed_rows(domain):
            spec = row.get("spec", {})
            verdicts = [check_rubric(response=row["response"], spec=spec)] if has_rubric(spec) else []
            extra = {"kind": spec.get("kind")}
            samples.append(dataclasses.replace(draft_of(domain, row), verdicts=verdicts, extra=extra))
        work.log(1, 1, drafts=len(samples))
        write_samples(work.payload / "samples.parquet", samples)

    settings = {"domain": domain, "prompts": [[row["prompt"], row["response"]] for row in reviewed_rows(domain)]}
    return store.produce(f"{domain} drafts", "open drafts", DRAFTS_VERSION, what=settings, inputs={}, make=make)


def invite(store: Store, domain: str, drafts: Artifact, policy: Review, *, run: str) -> None:
    """Open the review of a domain's drafts, unless it is finished; from here on `afterbase review` shows them."""
    if drafts.planned or ranks.rank() > 0 or store.find(_key(domain, drafts, policy, run), domain) is not None:
        return
    open_review(review_folder(store.root.parent, run), domain, _samples(drafts), policy, run=run)


def review_by_people(store: Store, domain: str, drafts: Artifact, policy: Review, *, run: str) -> Artifact:
    """samples.parquet with people's decisions applied, verdicts.jsonl, agreement.json.

    Raises Waiting until they have done what the policy asks.
    """

    def make(work: Workspace) -> None:
        samples = _samples(drafts)
        reviews = open_review(review_folder(store.root.parent, run), domain, samples, policy, run=run)
        progress, decided = reviews.close(domain)
        work.show(progress.decided, progress.reviewed)
        if progress.missing:
            raise Waiting(
                f"people review the {domain} drafts before anything is trained on them",
                got=f"still missing: {', '.join(progress.missing)}",
                remedy=f"afterbase review {run}{_place(store)}; then run again, which goes on from here"
                + _advice(policy, progress.decided == progress.reviewed),
            )
        rows = decided_samples(samples, decided, policy)
        write_samples(work.payload / "samples.parquet", rows)
        lines = [json.dumps(verdict_row(item, vote), ensure_ascii=False) for item in decided for vote in item.votes]
        write_atomically(work.payload / "verdicts.jsonl", "".join(f"{line}\n" for line in lines).encode())
        found = agreement_report(samples, decided)
        write_atomically(work.payload / "agreement.json", (json.dumps(found, indent=1) + "\n").encode())
        work.log(
            progress.decided,
            progress.reviewed,
            drafts=len(samples),
            kept=sum(s.dropped is None for s in rows),
            twice=found["alpha"]["units"],
            conflicts=sum(any(vote.settles for vote in item.votes) for item in decided),
            **({"alpha": found["alpha"]["value"]} if found["alpha"]["value"] is not None else {}),
        )

    return store.produce(
        f"{domain} review", _STAGE, VERSION, what=_what(domain, policy, run), inputs={"drafts": drafts}, make=make
    )


def _what(domain: str, policy: Review, run: str) -> dict[str, Any]:
    return {**what(policy), "domain": domain, "run": run}


def _key(domain: str, drafts: Artifact, policy: Review, run: str) -> str:
    return stage_key(_STAGE, VERSION, _what(domain, policy, run), {"drafts": drafts.digest})


def _samples(drafts: Artifact) -> list[Sample]:
    return read_samples(drafts.payload / "samples.parquet")


def review_folder(root: Path, run: str) -> Path:
    """Where a run keeps its review: `review.json`, and the SQLite file if there is no other database."""
    return root / "runs" / run


def refuse_without_review() -> None:
    """UserError where the packages of the review's database and pages are not installed."""
    refuse_missing_extra("review", "people review drafts in a web app, which keeps a database")


def open_review(folder: Path, domain: str, samples: list[Sample], policy: Review, *, run: str) -> "ReviewStore":
    """Put the samples' queue in place, so that `afterbase review` finds it; verdicts given before stay."""
    refuse_without_review()
    from afterbase.data.review.review_store import open_reviews

    folder.mkdir(parents=True, exist_ok=True)
    reviews = open_reviews(folder, run, policy.database)
    guideline = guideline_text(policy)
    reviews.replace_queue(domain, queue(samples, policy), policy, drafts=len(samples), guideline=guideline)
    write_atomically(folder / "review.json", (json.dumps({"database": policy.database}) + "\n").encode())
    return reviews


def guideline_text(policy: Review) -> str:
    """The guideline's Markdown; UserError where it cannot be read."""
    path = Path(policy.guideline) if policy.guideline else GUIDELINE
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "a guideline is a Markdown file in UTF-8", got=f"{path}: {error}", remedy="mend `guideline` of the review"
        ) from error


def _place(store: Store) -> str:
    root = store.root.parent
    return "" if root == Path() else f" --root {root}"


def _advice(policy: Review, everything_decided: bool) -> str:
    if not everything_decided:
        return ""
    return (
        f". Alpha is measured on drafts that two people reviewed: talk about the guideline and raise `double` (now"
        f" {policy.double}), or lower `min_alpha`; verdicts stay"
    )
