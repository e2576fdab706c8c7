"""The drafts behind the shipped review set: which prompts, which answers, and what the rubric says of them.

`chat_reviewed.jsonl` is this module's output after it was read and its decisions were corrected;
`chat_reviewed.md` tells by whom and how.
"""

import json
import random
from pathlib import Path

from afterbase.core.sample import Problem, Status
from afterbase.data.domains import chat
from afterbase.verify.rubric import check_rubric

REVIEWED = Path(__file__).with_name("chat_reviewed.jsonl")
REVIEWED_SEED = 5
REVIEWED_COUNT = 300


def drafts(count: int, *, seed: int) -> list[tuple[Problem, str]]:
    """`count` different prompts, each with the separate generator's answer; the first n are the same for any count."""
    rng = random.Random(f"chat drafts/{seed}")
    made: dict[str, tuple[Problem, str]] = {}
    while len(made) < count:
        problem = chat.problem(rng)
        made.setdefault(problem.id, (problem, chat.draft_response(problem, rng)))
    return list(made.values())


def make_reviewed_set(path: Path, seed: int) -> None:
    """Write one JSON row a draft, with the decision that the rubric alone would take: what a reviewer starts from."""
    rows = []
    for problem, response in drafts(REVIEWED_COUNT, seed=seed):
        verdict = check_rubric(response=response, spec=problem.spec)
        rows.append(
            {
                "prompt": problem.prompt,
                "spec": problem.spec,
                "response": response,
                "reviewer": "rubric",
                "decision": "accept" if verdict.status is Status.OK else "reject",
                "reason": "good" if verdict.status is Status.OK else verdict.reason,
                "edited_response": None,
            }
        )
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
