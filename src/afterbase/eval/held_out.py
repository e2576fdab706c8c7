"""How well a checkpoint answers held-out problems: greedy once and sampled several times, every answer kept."""

import itertools
from collections.abc import Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.config import what
from afterbase.core.sample import Problem, Status, content_id
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.domains import DOMAINS, style_of
from afterbase.data.problems.problems import test_count, test_problems
from afterbase.eval.config import Evaluation
from afterbase.eval.summarise import Row, summarise
from afterbase.model.load import load
from afterbase.rollout.chat_model import Reply
from afterbase.rollout.engine_model import EngineModel
from afterbase.rollout.problem_replies import judged_replies, problem_requests, replies_to
from afterbase.verify.check import NO_RULE
from afterbase.verify.format import final_answer, well_formed

VERSION = 6


def evaluate(
    store: Store,
    checkpoint: str,
    model: Artifact,
    domain: str,
    problems: Artifact,
    config: Evaluation,
    *,
    seed: int,
    system: str | bool = False,
) -> Artifact:
    """answers.parquet: one row an answer, in the form that `eval.summarise` reads, with the text and its verdict.

    `system` is the prompt that the checkpoint is asked under: none, or the domain's own if it is True.

    >>> config = Evaluation(problems=2, samples=2, temperature=0.7, max_new_tokens=16)
    >>> answers = evaluate(store, "expert", expert, "arithmetic", problems, config, seed=0)
    >>> answers.manifest["stage"]
    'evaluate'
    """

    def make(work: Workspace) -> None:
        asking = EngineModel(load(model.payload), name=model.key)
        batch = test_problems(problems)[: config.problems]
        total, finished = len(batch) * (1 + config.samples), itertools.count(1)
        asked = DOMAINS[domain].REFLECTIVE_SYSTEM_PROMPT if system is True else system or None
        rows = []
        for decoding, temperature, samples in (("greedy", 0.0, 1), ("sampled", config.temperature, config.samples)):
            if samples == 0:
                continue
            requests = problem_requests(
                batch,
                system=asked,
                samples=samples,
                temperature=temperature,
                max_new_tokens=config.max_new_tokens,
                seed=seed,
            )
            groups = replies_to(asking, requests, on_finished=lambda: work.show(next(finished), total))
            rows += judged_rows(
                batch, groups, checkpoint=checkpoint, model=model.key, decoding=decoding, system_prompt=bool(system)
            )
        solved = sum(r["value"] for r in rows if r["decoding"] == "greedy") / len(batch)
        work.log(1, 1, (), greedy=round(solved, 4))
        work.show(total, total, **shown_of(rows))
        pq.write_table(pa.Table.from_pylist(rows), work.payload / "answers.parquet")

    answers = (config.problems or test_count(problems)) * (1 + config.samples)
    return store.produce(
        f"evaluate {checkpoint}{' + prompt' if system else ''} on {domain}",
        "evaluate",
        VERSION,
        what={**what(config), "checkpoint": checkpoint, "domain": domain, "seed": seed, "system": system},
        inputs={"model": model, "problems": problems},
        make=make,
        cost=Cost(generated=answers * config.max_new_tokens, verified=answers),
    )


def shown_of(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What the screen says of answers: accuracy with its 95 % interval, of the sampled ones if there are any.

    Those that no rule judges get their score from a reward model, in a stage of its own.
    """
    if all(row["reason"] == NO_RULE for row in rows):
        return {"answers": f"{len(rows)}, to be scored by a reward model"}
    measured = summarise([cast(Row, row) for row in rows])[-1]
    if measured["pass1"] is None or measured["pass1_low"] is None or measured["pass1_high"] is None:
        return {"accuracy": "unknown, as the verifier failed"}
    low, high = 100 * measured["pass1_low"], 100 * measured["pass1_high"]
    return {"accuracy": f"{measured['pass1']:.1%} [{low:.1f}–{high:.1f}]", "tokens": f"{measured['mean_tokens']:.0f}"}


def judged_rows(
    problems: Sequence[Problem],
    groups: Sequence[Sequence[Reply]],
    *,
    checkpoint: str,
    model: str,
    decoding: str,
    system_prompt: bool,
) -> list[dict[str, Any]]:
    """One row an answer: who, on what, how, the verdict, and the text itself."""
    verdicts = iter(judged_replies(problems, groups))
    rows = []
    for problem, group in zip(problems, groups, strict=True):
        asked = style_of(problem) or "plain"
        for index, response in enumerate(group):
            verdict = next(verdicts)
            rows.append(
                {
                    # with the text: another seed of a run may ask the same model the same problem
                    "id": content_id(model, problem.id, decoding, system_prompt, index, response.text),
                    "checkpoint": checkpoint,
                    "model": model,
                    "domain": problem.domain,
                    "decoding": decoding,
                    "system_prompt": system_prompt,
                    "problem_id": problem.id,
                    "prompt": problem.prompt,
                    "sample_index": index,
                    "text": response.text,
                    "status": str(verdict.status),
                    "reason": verdict.reason,
                    # a rubric's partial credit is no right answer
                    "value": float(verdict.status is Status.OK),
                    "answer": final_answer(response.text, style=asked),
                    "tokens": response.tokens,
                    "truncated": response.truncated,
                    "well_formed": not response.truncated and well_formed(response.text, style=asked),
                }
            )
    return rows


def read_answers(artifact: Artifact) -> list[dict[str, Any]]:
    """The rows of answers.parquet."""
    return pq.read_table(artifact.payload / "answers.parquet").to_pylist()
