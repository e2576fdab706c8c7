"""The results of a review: people's decisions on the samples, and how far the people agreed."""

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from afterbase.core.sample import Sample, Status, Verdict
from afterbase.data.review.agreement import Unit, alpha, by_pair, by_reviewer, kappa
from afterbase.data.review.recorded_decisions import STAGE, Decision, Outcome, apply_decisions, draft_key
from afterbase.data.review.records import Item, Vote
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_queue import readable


def decided_samples(samples: Sequence[Sample], decided: Sequence[Item], policy: Review) -> list[Sample]:
    """Every draft with what people said, in order; an edited one is followed by the edited sample.

    All votes go on record with the draft. Those that decided are the last word: the adjudicator's, otherwise the
    first reviewer's.
    """
    items = {item.sample: item for item in decided}
    out = []
    for sample in samples:
        item = items.get(sample.id)
        if sample.dropped is not None:
            out.append(sample)
        elif not readable(sample):
            out.append(sample.drop(STAGE, "too_long_to_review", sum(len(m["content"]) for m in sample.messages)))
        elif item is None and policy.unreviewed == "keep":
            out.append(sample)
        elif item is None:
            out += apply_decisions([sample], {})
        else:
            out += _decided(sample, item)
    return out


def agreement_report(samples: Sequence[Sample], decided: Sequence[Item]) -> dict[str, Any]:
    """Alpha, each reviewer's alpha, kappa of each two, and of each earlier verifier with people's last word.

    Verifiers say accept where their value is 1/2 or more; people's edits count as not accepted.
    """
    units: list[Unit] = [{v.reviewer: v.outcome for v in item.votes if not v.settles} for item in decided]
    accepted = {item.sample: final_vote(item).outcome is Outcome.ACCEPT for item in decided}
    said: dict[str, list[tuple[str, str]]] = {}
    for sample in samples:
        for verdict in sample.verdicts:
            if sample.id in accepted and verdict.status is not Status.FAILED:
                pair = (str(verdict.value >= 0.5), str(accepted[sample.id]))
                said.setdefault(verdict.verifier, []).append(pair)
    return {
        "alpha": asdict(alpha(units)),
        "reviewers": {name: asdict(found) for name, found in by_reviewer(units).items()},
        "pairs": [{"reviewers": list(pair), "kappa": asdict(found)} for pair, found in by_pair(units).items()],
        "verifiers": {name: asdict(kappa(pairs)) for name, pairs in sorted(said.items())},
    }


def final_vote(item: Item) -> Vote:
    """The vote that decides a draft: the adjudicator's, otherwise the first one."""
    return next((vote for vote in item.votes if vote.settles), item.votes[0])


def verdict_row(item: Item, vote: Vote) -> dict[str, Any]:
    """A row of verdicts.jsonl; without times, so that the same decisions are the same artifact."""
    return {
        "sample": item.sample,
        "reviewer": vote.reviewer,
        "adjudicates": vote.settles,
        "decision": str(vote.outcome),
        "reason": vote.reason,
        "edited_response": vote.edited,
        "diff": vote.diff,
    }


def _decided(draft: Sample, item: Item) -> list[Sample]:
    last = final_vote(item)
    others = [_verdict(vote) for vote in item.votes if vote is not last]
    draft = dataclasses.replace(draft, verdicts=[*draft.verdicts, *others])
    prompts = [message["content"] for message in draft.messages if message["role"] == "user"]
    key = draft_key(prompt=prompts[-1], response=draft.response)
    decision = Decision(outcome=last.outcome, reviewer=last.reviewer, reason=last.reason, edited_response=last.edited)
    [reviewed] = apply_decisions([draft], {key: decision})
    if draft.id not in reviewed.parents:
        return [reviewed]
    judged = dataclasses.replace(draft, verdicts=[*draft.verdicts, _verdict(last)])
    return [judged.drop(STAGE, "edited"), reviewed]


def _verdict(vote: Vote) -> Verdict:
    """What a vote says of the draft as it was written: one that has to be edited is not right yet."""
    accepted = vote.outcome is Outcome.ACCEPT
    return Verdict(
        verifier=f"review:{vote.reviewer}",
        status=Status.OK if accepted else Status.WRONG,
        value=1.0 if accepted else 0.0,
        reason=vote.reason,
    )
