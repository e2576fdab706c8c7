"""Preference pairs for the reward model: the SFT checkpoint's own answers to open prompts, judged in pairs.

The report's annotators are people; in the shipped recipes a procedural annotator plays them: it checks each answer
against the prompt's rubric. Of each prompt's answers one that passes is chosen and one that fails is rejected, the
two whose lengths are closest, so that the reward model cannot learn length instead of quality. Reviewers' edits are
pairs too: the edited text is chosen over its draft.
"""

import itertools
from collections.abc import Sequence
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.config import what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Sample, Status, Verdict, read_samples
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.generate.config import Preferences
from afterbase.data.problems.problems import train_count, train_problems
from afterbase.model.load import load
from afterbase.rollout.chat_model import Reply
from afterbase.rollout.engine_model import EngineModel
from afterbase.rollout.problem_replies import judged_replies, problem_requests, replies_to

VERSION = 4
_NO_PAIRS = pa.schema([(name, pa.string()) for name in ("prompt", "chosen", "rejected", "source")])


def make_preferences(
    store: Store,
    sft: Artifact,
    problems: Artifact,
    reviewed: Artifact,
    config: Preferences,
    *,
    seed: int,
    name: str = "preference pairs",
    alone: bool = True,
) -> Artifact:
    """pairs.parquet: rows {prompt, chosen, rejected, source} with source `sampled` or `edit`.

    Raises UserError where there are none, unless they are not `alone`: other pairs will stand beside them.

    >>> from afterbase.data.problems.problems import Problems, make_problems
    >>> chat = make_problems(store, "chat", Problems(train=8, test=2), seed=0)
    >>> config = Preferences(samples=2, temperature=1.0, max_new_tokens=16)
    >>> pairs = make_preferences(store, sft, chat, reviewed, config, seed=0)
    >>> (pairs.payload / "pairs.parquet").exists()
    True
    """

    def make(work: Workspace) -> None:
        batch = train_problems(problems)
        requests = problem_requests(
            batch,
            samples=config.samples,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            seed=seed,
        )
        finished = itertools.count(1)
        groups = replies_to(
            EngineModel(load(sft.payload), name=sft.key),
            requests,
            on_finished=lambda: work.show(next(finished), len(requests)),
        )
        verdicts = iter(judged_replies(batch, groups))
        rows = edit_pairs(read_samples(reviewed.payload / "samples.parquet"))
        edits = len(rows)
        for problem, group in zip(batch, groups, strict=True):
            row = closest_pair(problem, group, [next(verdicts) for _ in group])
            if row is not None:
                rows.append(row)
        if not rows and alone:
            _refuse_no_pairs(len(batch))
        work.log(1, 1, prompts=len(batch), edits=edits, sampled=len(rows) - edits)
        pq.write_table(pa.Table.from_pylist(rows, None if rows else _NO_PAIRS), work.payload / "pairs.parquet")

    answers = train_count(problems) * config.samples
    return store.produce(
        name,
        "preferences",
        VERSION,
        what={**what(config), "seed": seed},
        inputs={"model": sft, "problems": problems, "reviewed": reviewed},
        make=make,
        cost=Cost(generated=answers * config.max_new_tokens, verified=answers),
    )


def _refuse_no_pairs(prompts: int) -> NoReturn:
    raise UserError(
        "preference pairs need prompts with both a passing and a failing answer",
        got=f"{prompts} prompts, none with both",
        remedy="raise `preferences.temperature`, `preferences.samples` or the domain's `train`, or add pairs of your "
        "own (`preferences.path`)",
    )


def closest_pair(problem: Problem, group: Sequence[Reply], verdicts: Sequence[Verdict]) -> dict[str, str] | None:
    """The passing and the failing answer whose lengths in tokens are closest, the first of equals; None without both.

    An answer that the verifier could not judge is neither.
    """
    passing = [r for r, v in zip(group, verdicts, strict=True) if v.status is Status.OK]
    failing = [r for r, v in zip(group, verdicts, strict=True) if v.status is Status.WRONG]
    pairs = [(abs(c.tokens - r.tokens), i, j) for i, c in enumerate(passing) for j, r in enumerate(failing)]
    if not pairs:
        return None
    _, i, j = min(pairs)
    return {"prompt": problem.prompt, "chosen": passing[i].text, "rejected": failing[j].text, "source": "sampled"}


def edit_pairs(reviewed: Sequence[Sample]) -> list[dict[str, str]]:
    """One pair for each edited draft; the draft itself must be among `reviewed`."""
    drafts = {s.id: s for s in reviewed}
    return [
        {
            "prompt": edited.messages[-2]["content"],
            "chosen": edited.response,
            "rejected": drafts[parent].response,
            "source": "edit",
        }
        for edited in reviewed
        if edited.dropped is None
        for parent in edited.parents
    ]
