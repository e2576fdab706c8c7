"""The two tables of a run, from its judged answers: every setting's scores, and paired differences between settings.

Differences are paired by problem. A problem weighs the same however many of its answers got a verdict.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypedDict

import numpy as np

from afterbase.core.errors import UserError
from afterbase.core.intervals import Interval, wilson
from afterbase.core.sample import Status
from afterbase.eval.statistics import bootstrap_mean, majority_at_k, paired_bootstrap

VOTES = 8


class Row(TypedDict):
    """One judged answer. `value` in [0, 1]; `answer` as extracted, in one form, or None; `tokens` of the answer."""

    checkpoint: str
    domain: str
    decoding: str
    system_prompt: bool
    problem_id: str
    sample_index: int
    status: str
    value: float
    answer: str | None
    tokens: int
    truncated: bool
    well_formed: bool


class Evaluation(TypedDict):
    """One checkpoint on one domain under one decoding. Shares are fractions of 1; `n` counts problems.

    `failed` counts the answers that no verdict was reached on: they are in no other number. All numbers but the
    counts are None when n is 0; lengths (tokens) of right or wrong answers are None where there are none.
    """

    checkpoint: str
    domain: str
    decoding: str
    system_prompt: bool
    n: int
    failed: int
    pass1: float | None
    pass1_low: float | None
    pass1_high: float | None
    maj8: float | None
    mean_tokens: float | None
    mean_tokens_right: float | None
    mean_tokens_wrong: float | None
    median_tokens: float | None
    truncated_share: float | None
    format_share: float | None


class Pair(NamedTuple):
    """Two settings to compare: `a` is the reference, `b` the one that should be better; domain None pools all."""

    a: str
    b: str
    domain: str | None
    decoding: str
    system_prompt_a: bool
    system_prompt_b: bool


class Comparison(TypedDict):
    """Difference b - a in mean value over the `n` problems that both answered, as fractions of 1."""

    a: str
    b: str
    domain: str
    decoding: str
    system_prompt_a: bool
    system_prompt_b: bool
    n: int
    difference: float
    low: float
    high: float
    p: float


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else None


def _by_problem(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of each problem in the order of their samples, problems by id: the order of `rows` moves no number."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["problem_id"]].append(row)
    return {key: sorted(groups[key], key=lambda row: row["sample_index"]) for key in sorted(groups)}


def _judged(row: Row) -> bool:
    return row["status"] != Status.FAILED


def _vote(rows: Sequence[Row]) -> float:
    """maj@8 of one problem; an answer without a verdict abstains."""
    return majority_at_k(
        [row["answer"] if _judged(row) else None for row in rows],
        [row["status"] == Status.OK for row in rows],
        VOTES,
    )


def _pass1_interval(values: Sequence[Sequence[float]], pass1: float, decoding: str, seed: int) -> Interval:
    # Where every sample agrees the bootstrap claims certainty; then each problem counts as one trial.
    # So it does of greedy answers, but where they have scores (`score_answers.py`): those are no trials.
    scores = any(value not in (0.0, 1.0) for of_problem in values for value in of_problem)
    if (decoding == "greedy" and not (scores and len(values) > 1)) or pass1 in (0.0, 1.0):
        return wilson(sum(float(np.mean(v)) for v in values), len(values))
    return bootstrap_mean(values, seed=seed)


def _evaluation(key: tuple[str, str, str, bool], rows: Sequence[Row], *, votes: bool, seed: int) -> Evaluation:
    checkpoint, domain, decoding, system_prompt = key
    usable = [row for row in rows if _judged(row)]
    values = [[row["value"] for row in group] for group in _by_problem(usable).values()]
    pass1 = _mean(float(np.mean(v)) for v in values)
    low, high = (None, None) if pass1 is None else _pass1_interval(values, pass1, decoding, seed)
    ballots = [group[:VOTES] for group in _by_problem(rows).values()]
    votes = votes and decoding == "sampled" and all(len(ballot) == VOTES for ballot in ballots)
    return {
        "checkpoint": checkpoint,
        "domain": domain,
        "decoding": decoding,
        "system_prompt": system_prompt,
        "n": len(values),
        "failed": len(rows) - len(usable),
        "pass1": pass1,
        "pass1_low": low,
        "pass1_high": high,
        "maj8": _mean(_vote(ballot) for ballot in ballots if any(_judged(row) for row in ballot)) if votes else None,
        "mean_tokens": _mean(row["tokens"] for row in usable),
        "mean_tokens_right": _mean(row["tokens"] for row in usable if row["status"] == Status.OK),
        "mean_tokens_wrong": _mean(row["tokens"] for row in usable if row["status"] == Status.WRONG),
        "median_tokens": float(np.median([row["tokens"] for row in usable])) if usable else None,
        "truncated_share": _mean(row["truncated"] for row in usable),
        "format_share": _mean(row["well_formed"] for row in usable),
    }


def summarise(rows: Sequence[Row], *, seed: int = 0) -> list[Evaluation]:
    """One entry a (checkpoint, domain, decoding, system prompt), in the order in which `rows` first show them.

    pass1 is the mean over problems of the mean over samples; its 95 % interval is Wilson's for greedy decoding (and
    at 0 and 1) and the cluster bootstrap's for sampled. maj8 needs at least 8 samples of every problem, and a domain
    where some checkpoint gave an answer that can be extracted; elsewhere it is None.
    """
    voting = {row["domain"] for row in rows if row["answer"] is not None}
    groups: dict[tuple[str, str, str, bool], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["checkpoint"], row["domain"], row["decoding"], row["system_prompt"]].append(row)
    return [_evaluation(key, group, votes=key[1] in voting, seed=seed) for key, group in groups.items()]


def _problem_means(
    rows: Iterable[Row], checkpoint: str, domain: str | None, decoding: str, system_prompt: bool
) -> dict[str, float]:
    wanted = (
        row
        for row in rows
        if _judged(row)
        and (row["checkpoint"], row["decoding"], row["system_prompt"]) == (checkpoint, decoding, system_prompt)
        and domain in (None, row["domain"])
    )
    return {key: float(np.mean([row["value"] for row in group])) for key, group in _by_problem(wanted).items()}


def compare(rows: Sequence[Row], pairs: Iterable[Pair], *, seed: int = 0) -> list[Comparison]:
    """One entry a pair: b - a, paired by problem, with its 95 % interval.

    A problem without a verdict on either side is left out. Pooled over domains ("all"), every problem weighs the
    same, so a domain weighs as its number of problems.
    Raises UserError where a and b share no problem.
    """
    comparisons: list[Comparison] = []
    for a, b, domain, decoding, system_prompt_a, system_prompt_b in pairs:
        of_a = _problem_means(rows, a, domain, decoding, system_prompt_a)
        of_b = _problem_means(rows, b, domain, decoding, system_prompt_b)
        shared = of_a.keys() & of_b.keys()
        if not shared:
            raise UserError(
                "two checkpoints are compared on the problems that both answered",
                got=f"{a} ({len(of_a)} problems) and {b} ({len(of_b)}) share none on {domain or 'all'}, {decoding}",
                remedy="evaluate both on the same problems, with the same decoding",
            )
        result = paired_bootstrap({i: of_a[i] for i in shared}, {i: of_b[i] for i in shared}, seed=seed)
        comparisons.append(
            {
                "a": a,
                "b": b,
                "domain": domain or "all",
                "decoding": decoding,
                "system_prompt_a": system_prompt_a,
                "system_prompt_b": system_prompt_b,
                "n": len(shared),
                "difference": result.difference,
                "low": result.low,
                "high": result.high,
                "p": result.p,
            }
        )
    return comparisons
