"""What a GRPO step learns from: groups of answers, each judged, and what is worth knowing about them.

Notation: P prompts, G samples a prompt.
"""

import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status
from afterbase.core.tokens import user_prompt_ids
from afterbase.data.generate.selection import reflects
from afterbase.model.load import LanguageModel
from afterbase.reward.route import Reward, failed_share
from afterbase.rollout.engine import Completion, Engine, FinishReason, Sampling
from afterbase.rollout.producer import text_of

_MOST_FAILED = 0.2  # above this share of verifier faults the numbers mean nothing
_ROUNDS = 3  # of sampling further prompts in place of groups whose rewards are all equal

Judge = Callable[[Sequence[tuple[Problem, str]], Sequence[int]], list[Reward]]
"""(problem, text) pairs and their lengths in tokens to rewards."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """One prompt's G answers; a reward is nan where the verifier failed."""

    problem: Problem
    prompt_ids: list[int]
    completions: list[Completion]
    texts: list[str]
    judged: list[Reward]

    @property
    def rewards(self) -> Tensor:
        """(G,)"""
        return torch.tensor([math.nan if r.value is None else r.value for r in self.judged])

    @property
    def teaches(self) -> bool:
        """Whether its rewards differ; where they do not, every advantage is 0."""
        known = [r.value for r in self.judged if r.value is not None]
        return len(set(known)) > 1

    @property
    def solve_rate(self) -> float:
        """Share of right answers among those that a rule decided; nan where no rule did."""
        decided = [r.verdict.status for r in self.judged if r.verdict and r.verdict.status is not Status.FAILED]
        return decided.count(Status.OK) / len(decided) if decided else math.nan


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The groups of one step; `sampled` has those too that dynamic sampling passed over."""

    groups: list[Group]
    sampled: list[Group]
    cursor: int
    seconds: dict[str, float]


def sample_groups(
    engine: Engine, lm: LanguageModel, problems: Sequence[Problem], judge: Judge, *, samples: int, sampling: Sampling
) -> tuple[list[Group], dict[str, float]]:
    """One group a problem, and how long sampling and verifying took.

    Raises UserError where too many verifiers failed, and for an engine that gives no log-probabilities.
    """
    started = time.monotonic()
    prompts = [user_prompt_ids(lm.tokenizer, p.prompt) for p in problems]
    completions = engine.generate(prompts, samples=samples, sampling=sampling)
    _refuse_without_logps(completions)
    sampled = time.monotonic()
    texts = [[text_of(lm, c) for c in group] for group in completions]
    pairs = [(p, text) for p, group in zip(problems, texts, strict=True) for text in group]
    judged = judge(pairs, [len(c.token_ids) for group in completions for c in group])
    if failed_share(judged) > _MOST_FAILED:
        raise UserError(
            f"at most {_MOST_FAILED:.0%} of a step's answers may fail to be verified",
            got=f"{failed_share(judged):.0%}: {_reasons(judged)}",
            remedy="mend the verifier, whose reasons these are; the run resumes where it stopped",
        )
    _refuse_nonsense(judged, problems, samples)
    groups = [
        Group(
            problem=problem,
            prompt_ids=prompts[i],
            completions=completions[i],
            texts=texts[i],
            judged=judged[i * samples : (i + 1) * samples],
        )
        for i, problem in enumerate(problems)
    ]
    return groups, {"rollout": sampled - started, "verify": time.monotonic() - sampled}


def roll_out(
    cursor: int,
    draw: Callable[[int, int], list[Problem]],
    sample: Callable[[list[Problem]], tuple[list[Group], dict[str, float]]],
    *,
    prompts: int,
    dynamic: bool,
) -> Rollout:
    """The groups of one step, from position `cursor` of the prompts on; `draw(cursor, count)` says which they are.

    Dynamic sampling (DAPO, arXiv 2503.14476, equation 11) goes on until `prompts` groups have rewards that differ, for
    three rounds at most; what is missing then is made up of groups without gradient.
    """
    sampled: list[Group] = []
    seconds: dict[str, float] = defaultdict(float)
    for _ in range(_ROUNDS if dynamic else 1):
        missing = prompts - sum(g.teaches for g in sampled) if dynamic else prompts
        if missing == 0:
            break
        groups, took = sample(draw(cursor, missing))
        cursor += missing
        sampled += groups
        for phase, spent in took.items():
            seconds[phase] += spent
    best = sorted(sampled, key=lambda g: not g.teaches) if dynamic else sampled
    return Rollout(groups=best[:prompts], sampled=sampled, cursor=cursor, seconds=dict(seconds))


def refuse_hopeless(groups: Sequence[Group], *, max_new_tokens: int) -> dict[str, float]:
    """UserError where every group's rewards are all equal, so that nothing could be learnt; else what the probe saw."""
    numbers = numbers_of(groups)
    if not any(g.teaches for g in groups):
        solved, truncated = numbers["solved"], numbers["truncated"]
        if truncated > 0.5:
            remedy = f"raise max_new_tokens, now {max_new_tokens}, or fine-tune for shorter answers first"
        elif solved == 1.0:
            remedy = "take harder problems: these are solved"
        else:
            remedy = "fine-tune on worked answers first, or take easier problems"
        raise UserError(
            "reinforcement learning needs groups whose rewards differ",
            got=f"{len(groups)} groups of {len(groups[0].completions)} answers, each with equal rewards: "
            f"{solved:.0%} solved, {truncated:.0%} cut off, {numbers['verifier_failed']:.0%} not verified",
            remedy=f"{remedy}; `probe_groups = 0` starts all the same",
        )
    return {key: numbers[key] for key in ("solved", "truncated", "equal_groups", "verifier_failed")}


def numbers_of(groups: Sequence[Group]) -> dict[str, float]:
    """Rewards and lengths of a step's groups; `whole/part` names are parts, which are recorded but not shown."""
    judged = [r for g in groups for r in g.judged]
    completions = [c for g in groups for c in g.completions]
    lengths, texts = [len(c.token_ids) for c in completions], [text for g in groups for text in g.texts]
    ruled = [(r.verdict.status, n) for r, n in zip(judged, lengths, strict=True) if r.verdict is not None]
    right = [n for status, n in ruled if status is Status.OK]
    wrong = [n for status, n in ruled if status is Status.WRONG]
    decided = len(right) + len(wrong)
    by_source: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        by_source[group.problem.domain] += [r.value for r in group.judged if r.value is not None]
    rates = [g.solve_rate for g in groups if not math.isnan(g.solve_rate)]
    watched = [r for r in judged if r.held_out is not None and r.value is not None]
    return {
        "reward": _mean([value for values in by_source.values() for value in values]),
        **{f"reward/{source}": _mean(values) for source, values in by_source.items()},
        **({"proxy": _mean([r.value for r in watched if r.value is not None])} if watched else {}),
        **({"held_out": _mean([r.held_out for r in watched if r.held_out is not None])} if watched else {}),
        **{f"rule/{name}": _mean(values) for name, values in _by_rule(judged).items()},
        "solved": round(len(right) / decided, 4) if decided else math.nan,
        **{f"solve rate/{name}": _share(rates, low, high) for name, low, high in _HISTOGRAM},
        "length": round(statistics.fmean(lengths), 1),
        "length/right": round(statistics.fmean(right), 1) if right else math.nan,
        "length/wrong": round(statistics.fmean(wrong), 1) if wrong else math.nan,
        "reflective": round(sum(map(reflects, texts)) / len(texts), 4),
        "truncated": round(sum(c.finish is FinishReason.LENGTH for c in completions) / len(completions), 4),
        "equal_groups": round(sum(not g.teaches for g in groups) / len(groups), 4),
        "verifier_failed": round(failed_share(judged), 4),
        # Of what was sampled, minus log pi is an unbiased estimate of the policy's entropy.
        "entropy": round(-statistics.fmean(logp for c in completions for logp in c.logps), 4),
    }


def _by_rule(judged: Sequence[Reward]) -> dict[str, list[float]]:
    out: dict[str, list[float]] = defaultdict(list)
    for reward in judged:
        for name, value in reward.parts.items():
            out[name].append(value)
    return out


_HISTOGRAM = (("0", 0.0, 0.0), ("below half", 1e-9, 0.5 - 1e-9), ("half and more", 0.5, 1 - 1e-9), ("1", 1.0, 1.0))


def _share(rates: Sequence[float], low: float, high: float) -> float:
    return round(sum(low <= rate <= high for rate in rates) / len(rates), 4) if rates else math.nan


def _mean(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), 4) if values else math.nan


def _refuse_without_logps(completions: Sequence[Sequence[Completion]]) -> None:
    for group in completions:
        for c in group:
            if len(c.logps) != len(c.token_ids) or not all(map(math.isfinite, c.logps)):
                raise UserError(
                    "an engine returns the log-probability of every token that it sampled",
                    got=f"{len(c.logps)} log-probabilities for {len(c.token_ids)} tokens, or some that are not finite",
                    remedy="use the local engine or vLLM; other endpoints are for teachers and judges",
                )


def _refuse_nonsense(judged: Sequence[Reward], problems: Sequence[Problem], samples: int) -> None:
    for index, reward in enumerate(judged):
        if reward.value is not None and not math.isfinite(reward.value):
            raise UserError(
                "a reward is a finite number",
                got=f"{reward.value} for an answer to `{problems[index // samples].prompt[:60]}`",
                remedy="look at the reward model, or mend the reward; the run resumes where it stopped",
            )


def _reasons(judged: Sequence[Reward]) -> str:
    failed = [r.verdict.reason for r in judged if r.verdict is not None and r.verdict.status is Status.FAILED]
    return ", ".join(f"{reason} {count} times" for reason, count in Counter(failed).most_common(3))
