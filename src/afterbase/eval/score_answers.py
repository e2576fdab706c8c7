"""Scores of held-out answers that no rule judges: what the recipe's reward model, or its judge, says of each.

Such a score is no share of right answers, and one that the model was trained on goes up by itself. So the rows are of a
domain of another name, which says whose scores they are, and are in no comparison of checkpoints.
"""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.sample import Status, Verdict, read_problems
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.eval.held_out import read_answers
from afterbase.reward.build_judge import JudgeConfig, load_rewarder
from afterbase.reward.route import model_rewards

VERSION = 1
STAGE = "score"
BY_MODEL, BY_JUDGE = " (by the reward model)", " (by the judge)"
_GOOD = 0.5  # above it a score counts as a good answer, where lengths of good and bad ones are told apart


def score_answers(
    store: Store, answers: Artifact, problems: Artifact, reward: Artifact | tuple[Artifact, JudgeConfig], *, seed: int
) -> Artifact:
    """answers.parquet of `evaluate`, whose values are the model's scores in [0, 1]; `failed` where it gives none."""
    model, judge = reward if isinstance(reward, tuple) else (reward, None)
    suffix = BY_MODEL if judge is None else BY_JUDGE

    def make(work: Workspace) -> None:
        known = {problem.id: problem for problem in read_problems(problems.payload / "test.parquet")}
        rows = read_answers(answers)
        asked = [(known[row["problem_id"]], row["text"]) for row in rows]
        scores = model_rewards(load_rewarder(model, judge, seed=seed), asked)
        scored = [
            {**row, **_scored(*score), "domain": row["domain"] + suffix}
            for row, score in zip(rows, scores, strict=True)
        ]
        values = [row["value"] for row in scored if row["status"] != Status.FAILED]
        work.log(1, 1, score=round(sum(values) / max(1, len(values)), 4), failed=len(rows) - len(values))
        pq.write_table(pa.Table.from_pylist(scored), work.payload / "answers.parquet")

    inputs = {"answers": answers, "problems": problems, "reward": model}
    what = {"seed": seed, "votes": None if judge is None else judge.votes}
    name = answers.name.replace("evaluate", "score", 1)
    return store.produce(name, STAGE, VERSION, what=what, inputs=inputs, make=make)


def without_suffix(domain: str) -> str:
    """The name of a scored domain as the recipe has it."""
    return domain.removesuffix(BY_MODEL).removesuffix(BY_JUDGE)


def _scored(value: float | None, verdict: Verdict | None) -> dict[str, Any]:
    if value is None:
        return {"value": 0.0, "status": str(Status.FAILED), "reason": verdict.reason if verdict else "no_score"}
    if verdict is not None:  # a thought that never ends
        return {"value": value, "status": str(verdict.status), "reason": verdict.reason}
    return {"value": value, "status": str(Status.OK if value > _GOOD else Status.WRONG), "reason": "scored"}
