"""Review of open-ended drafts: decisions that people recorded, and what happens to the drafts.

The V3 report has annotators verify the accuracy and correctness of its non-reasoning data, and publishes no
protocol; the three decisions, and the rule that nothing unreviewed is trained on, are ours. Decisions are recorded
in JSON lines, one draft a line: prompt, response, reviewer, decision, reason, edited_response.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.row_files import json_rows
from afterbase.core.sample import Sample, Status, Verdict, content_id

STAGE = "review"
NOT_REVIEWED = "not_reviewed"


class Outcome(StrEnum):
    """What a reviewer decided."""

    ACCEPT = "accept"
    REJECT = "reject"
    EDIT = "edit"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One reviewer's decision on one draft; `reason` is a short fixed word, `edited_response` is set for edits only."""

    outcome: Outcome
    reviewer: str
    reason: str
    edited_response: str | None = None


def draft_key(*, prompt: str, response: str) -> str:
    """What a decision is filed under: the content id of the prompt and the response."""
    return content_id(prompt, response)


def recorded_decisions(path: Path) -> dict[str, Decision]:
    """The decisions of a JSON lines file by `draft_key`.

    Raises UserError on a line that is no decision, and on a second line about the same draft.
    """
    decisions: dict[str, Decision] = {}
    for place, row, _ in json_rows(path):
        key, decision = _decision(row, where=f"{place} of {path}")
        if key in decisions:
            raise UserError(
                "a draft has one recorded decision",
                got=f"a second one in {place} of {path}",
                remedy="settle on one of the two lines and delete the other",
            )
        decisions[key] = decision
    return decisions


def apply_decisions(samples: Sequence[Sample], decisions: Mapping[str, Decision]) -> list[Sample]:
    """One sample for each draft, in order: accepted, edited (a new sample with the draft as parent), or dropped.

    Drafts that were dropped before stay as they are.
    """
    return [sample if sample.dropped else _reviewed(sample, decisions.get(_key(sample))) for sample in samples]


def _decision(row: Mapping[str, Any], *, where: str) -> tuple[str, Decision]:
    try:
        decision = Decision(
            outcome=Outcome(row["decision"]),
            reviewer=row["reviewer"],
            reason=row["reason"],
            edited_response=row["edited_response"],
        )
        key = draft_key(prompt=row["prompt"], response=row["response"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            "a decision is one JSON object with prompt, response, reviewer, decision, reason and edited_response",
            got=f"{error!r} in {where}",
            remedy=f"mend the line; decision is one of {', '.join(Outcome)}",
        ) from error
    if (decision.outcome is Outcome.EDIT) != bool(decision.edited_response):
        raise UserError(
            "an edit has an edited_response, and nothing else has one",
            got=f"decision {decision.outcome} with edited_response {decision.edited_response!r} in {where}",
            remedy="add the edited text, or change the decision",
        )
    return key, decision


def _key(sample: Sample) -> str:
    prompts = [message["content"] for message in sample.messages if message["role"] == "user"]
    return draft_key(prompt=prompts[-1], response=sample.response)


def _reviewed(draft: Sample, decision: Decision | None) -> Sample:
    if decision is None:
        return draft.drop(STAGE, NOT_REVIEWED)
    rejected = decision.outcome is Outcome.REJECT
    verdict = Verdict(
        verifier=f"review:{decision.reviewer}",
        status=Status.WRONG if rejected else Status.OK,
        value=0.0 if rejected else 1.0,
        reason=decision.reason,
    )
    if rejected:
        judged = dataclasses.replace(draft, verdicts=[*draft.verdicts, verdict])
        return judged.drop(STAGE, decision.reason)
    if decision.edited_response is None:
        return dataclasses.replace(draft, verdicts=[*draft.verdicts, verdict])
    # Earlier verdicts were on the draft's text, so they stay with the draft.
    return dataclasses.replace(
        draft,
        messages=[*draft.messages[:-1], {"role": "assistant", "content": decision.edited_response}],
        producer={**draft.producer, "edited_by": decision.reviewer},
        parents=[draft.id],
        verdicts=[verdict],
    )
