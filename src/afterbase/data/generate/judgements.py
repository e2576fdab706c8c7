"""Judgements to learn from: several of each pair in random order, kept where they agree, lengths matched.

As DeepSeek-R1's helpfulness pairs were made (facts of arXiv 2501.12948): four judgements of each pair, their verdicts
averaged, kept if they differ clearly, chosen and rejected of like length. The V3 report trains its reward model on the
chain of thought too, so what is kept of a judgement is all of it: comparisons, scores of either answer, and, where the
prompt has a right answer, whether the response matches it. Whoever judges, the shipped rubric or a model, the pair says
which answer is better, and a judgement that disagrees is dropped, with its reason. Judged are answers without their
thoughts, as in reinforcement learning.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from afterbase.core.config import what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Sample, write_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.domains import REVIEWED
from afterbase.data.generate.config import Judgements
from afterbase.data.generate.critique import grade_by_rule
from afterbase.data.generate.open_domains import reviewed_rows
from afterbase.data.problems.problems import train_problems
from afterbase.reward.build_judge import JudgeConfig, load_judge
from afterbase.reward.generative import comparison
from afterbase.reward.judge import PRINCIPLES, Case, Judgement, prompt_of, read_principles
from afterbase.reward.shown_pairs import answered_pairs
from afterbase.reward.votes import as_given, majority, mean, reversed_order

VERSION = 2
KIND = "judgement"
_SIDES = ("chosen", "rejected")
_MIN_POINTS = 1.0  # of 1 to 10, that the better answer's mean score has to be above the worse one's


class Grader(Protocol):
    """What gives `samples` judgements of each case: a rule, or a judge."""

    def judgements(self, cases: Sequence[Case], samples: int) -> list[list[Judgement]]: ...


class RubricGrader:
    """The rule of `data/generate/critique.py`, which gives the same judgement each time."""

    def __init__(self, specs: Mapping[str, dict[str, Any]]) -> None:
        self._specs = specs

    def judgements(self, cases: Sequence[Case], samples: int) -> list[list[Judgement]]:
        return [[grade_by_rule(case, self._specs[case.question])] * samples for case in cases]


def make_judgements(
    store: Store,
    pairs: Artifact,
    problems: Artifact,
    config: Judgements,
    *,
    seed: int,
    judge: tuple[Artifact, JudgeConfig] | None = None,
) -> Artifact:
    """samples.parquet: judgements as conversations, dropped ones with the rule that dropped them.

    By the problems' own rubrics, or by a judge of `make_judge`. Raises UserError where none is kept.

    >>> judgements = make_judgements(store, pairs, chat, Judgements(comparisons=2, scores=1), seed=0)
    >>> (judgements.payload / "samples.parquet").exists()
    True
    """
    principles = read_principles(PRINCIPLES)

    def make(work: Workspace) -> None:
        batch = train_problems(problems)
        rows, unanswered = answered_pairs(pairs)
        matched = match_lengths(rows, longest_ratio=config.longest_ratio)
        domain = batch[0].domain
        rows_of_people = reviewed_rows(domain) if domain in REVIEWED else []
        reviewed = {row["prompt"]: row["spec"] for row in rows_of_people}
        grader: Grader = RubricGrader(reviewed | {p.prompt: p.spec for p in batch})
        if judge is not None:
            grader = load_judge(judge[0], judge[1], seed=seed)
        made = judged_pairs(grader, matched, config, principles=principles, domain=domain, seed=seed)
        made += judged_matches(grader, batch, matched, config, principles=principles)
        samples = list({sample.id: sample for sample in made}.values())  # a rule writes the same twice
        kept = sum(s.dropped is None for s in samples)
        work.log(1, 1, pairs=len(rows), unanswered=unanswered, matched=len(matched), judgements=len(samples), kept=kept)
        if not kept:
            raise UserError(
                "a generative reward model learns from judgements",
                got=f"{len(samples)} judgements of {len(matched)} pairs, none that may be kept",
                remedy="lower min_agreement, or ask another judge",
            )
        write_samples(work.payload / "samples.parquet", samples)

    inputs = {"pairs": pairs, "problems": problems} | ({"judge": judge[0]} if judge is not None else {})
    settings = {**what(config), "principles": principles, "seed": seed}
    return store.produce("judgements", "judgements", VERSION, what=settings, inputs=inputs, make=make)


def match_lengths(rows: Sequence[dict[str, str]], *, longest_ratio: float) -> list[dict[str, str]]:
    """The pairs of like lengths, in their order, the chosen answer being the longer one as often as the shorter one.

    Of what there is too much, those go that differ most in length.
    """

    def gap(row: dict[str, str]) -> float:
        return math.log((len(row["chosen"]) + 1) / (len(row["rejected"]) + 1))

    near = [row for row in rows if abs(gap(row)) <= math.log(longest_ratio)]
    longer = sorted((row for row in near if gap(row) > 0), key=lambda row: abs(gap(row)))
    shorter = sorted((row for row in near if gap(row) < 0), key=lambda row: abs(gap(row)))
    most = min(len(longer), len(shorter))
    gone = {id(row) for row in (*longer[most:], *shorter[most:])}
    return [row for row in near if id(row) not in gone]


def judged_pairs(
    grader: Grader, rows: Sequence[dict[str, str]], config: Judgements, *, principles: str, domain: str, seed: int
) -> list[Sample]:
    """Comparisons of each pair and scores of its answers; dropped where they contradict the pair, or each other."""
    pairs = [(row["prompt"], row["chosen"], row["rejected"]) for row in rows]
    flips = [[reversed_order(q, (a, b), seed=seed, index=i) for i in range(config.comparisons)] for q, a, b in pairs]
    shown = [comparison(*pair, flip=flip) for pair, own in zip(pairs, flips, strict=True) for flip in own]
    compared = iter([group[0] for group in grader.judgements(shown, 1)])
    cases = iter(shown)
    scored_cases = [Case(kind="score", question=q, answers=(text,)) for q, a, b in pairs for text in (a, b)]
    scored = iter(grader.judgements(scored_cases, config.scores))
    scores = iter(scored_cases)
    samples = []
    for own in flips:
        said = [(next(cases), next(compared), flip) for flip in own]
        votes = [_vote(judgement, flip=flip) for _, judgement, flip in said]
        agreement = mean(votes)
        clear = agreement is not None and agreement > config.min_agreement
        for (case, judgement, _), vote in zip(said, votes, strict=True):
            rule = None if clear and vote == 1 else _rule(judgement, clear=clear)
            samples.append(_sample(case, judgement, rule, agreement, principles=principles, domain=domain))
        better, worse = ([(case, j) for j in next(scored)] for case in (next(scores), next(scores)))
        high, low = (mean([_number(j) for _, j in side]) for side in (better, worse))
        points = None if high is None or low is None else high - low
        clear = points is not None and points > _MIN_POINTS
        for case, judgement in (*better, *worse):
            rule = None if clear and judgement.failed is None else _rule(judgement, clear=clear)
            samples.append(_sample(case, judgement, rule, points, principles=principles, domain=domain))
    return samples


def judged_matches(
    grader: Grader, problems: Sequence[Problem], rows: Sequence[dict[str, str]], config: Judgements, *, principles: str
) -> list[Sample]:
    """Whether either answer of a pair matches the right one, for problems that have one.

    Dropped where its judgements differ, or do not take the chosen answer for right.
    """
    golds = {p.prompt: p for p in problems if p.gold is not None}
    sides = [(golds[row["prompt"]], row[side], side) for row in rows for side in _SIDES if row["prompt"] in golds]
    cases = [Case(kind="match", question=p.prompt, answers=(answer,), gold=p.gold) for p, answer, _ in sides]
    samples = []
    for case, (problem, _, side), group in zip(cases, sides, grader.judgements(cases, config.scores), strict=True):
        vote = majority([judgement.verdict for judgement in group])
        clear = vote.winner is not None
        known = clear and (side, vote.winner) != ("chosen", "no")
        for judgement in group:
            rule = None if known and judgement.verdict == vote.winner else _rule(judgement, clear=clear)
            samples.append(_sample(case, judgement, rule, vote.share, principles=principles, domain=problem.domain))
    return samples


def _vote(judgement: Judgement, *, flip: bool) -> float | None:
    """1 for the chosen answer, -1 for the rejected one, 0 for a tie."""
    if judgement.verdict is None:
        return None
    return {"A": 1.0, "B": -1.0, "tie": 0.0}[as_given(str(judgement.verdict), was_reversed=flip)]


def _number(judgement: Judgement) -> float | None:
    return None if judgement.verdict is None else float(judgement.verdict)


def _rule(judgement: Judgement, *, clear: bool) -> str:
    """Why a judgement is dropped."""
    if judgement.failed is not None:
        return f"failed: {judgement.failed}"
    return "disagrees with its pair" if clear else "judges do not agree"


def _sample(
    case: Case, judgement: Judgement, rule: str | None, score: float | None, *, principles: str, domain: str
) -> Sample:
    sample = Sample(
        messages=[*prompt_of(case, principles), {"role": "assistant", "content": judgement.text}],
        domain=domain,
        kind=KIND,
        problem_id=None,
        producer={"name": "judge", "task": case.kind},
    )
    return sample if rule is None else sample.drop("judgements", rule, score)
