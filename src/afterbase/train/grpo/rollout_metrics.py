"""What is recorded of a rollout: numbers, and a note to look at; and what is refused before the first update.

Names of the form `whole/part` are parts, which are recorded but not shown.
"""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.sample import Status
from afterbase.data.generate.selection import reflects
from afterbase.reward.route import Reward, failed_share
from afterbase.rollout.engine import FinishReason
from afterbase.train.grpo.groups import Group, Rollout

_SHOWN = 2  # answers of a rollout's first group that its note keeps
_HISTOGRAM = (("0", 0.0, 0.0), ("below half", 1e-9, 0.5 - 1e-9), ("half and more", 0.5, 1 - 1e-9), ("1", 1.0, 1.0))


def rollout_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Rewards, lengths and entropy of a rollout's groups."""
    rewards = [r for g in groups for r in g.rewards]
    completions = [c for g in groups for c in g.completions]
    texts = [text for g in groups for text in g.texts]
    # Of what was sampled, minus log pi is an unbiased estimate of the policy's entropy.
    entropy = -statistics.fmean(logp for c in completions for logp in c.logps)
    return {
        **_reward_metrics(groups, rewards),
        **_length_metrics(rewards, [len(c.token_ids) for c in completions]),
        "reflective": round(sum(map(reflects, texts)) / len(texts), 4),
        "truncated": round(sum(c.finish is FinishReason.LENGTH for c in completions) / len(completions), 4),
        "equal_groups": round(sum(not g.has_signal for g in groups) / len(groups), 4),
        "verifier_failed": round(failed_share(rewards), 4),
        **_failed_metrics(rewards),
        "entropy": round(entropy, 4),
    }


def _reward_metrics(groups: Sequence[Group], rewards: Sequence[Reward]) -> dict[str, float]:
    """The mean reward, of each source and each rule too, and how often problems are solved."""
    by_source: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        by_source[group.problem.domain] += [r.value for r in group.rewards if r.value is not None]
    by_rule: dict[str, list[float]] = defaultdict(list)
    for reward in rewards:
        for name, value in reward.parts.items():
            by_rule[name].append(value)
    watched = [(r.value, r.held_out) for r in rewards if r.held_out is not None and r.value is not None]
    proxy, held_out = [value for value, _ in watched], [value for _, value in watched]
    statuses = [r.verdict.status for r in rewards if r.verdict is not None]
    right, wrong = statuses.count(Status.OK), statuses.count(Status.WRONG)
    rates = [g.solve_rate for g in groups if not math.isnan(g.solve_rate)]
    return {
        "reward": _mean([value for values in by_source.values() for value in values]),
        **{f"reward/{source}": _mean(values) for source, values in by_source.items()},
        **({"proxy": _mean(proxy), "held_out": _mean(held_out)} if watched else {}),
        **{f"rule/{name}": _mean(values) for name, values in by_rule.items()},
        "solved": round(right / (right + wrong), 4) if right + wrong else math.nan,
        **{f"solve rate/{name}": _share(rates, low, high) for name, low, high in _HISTOGRAM},
    }


def _failed_metrics(rewards: Sequence[Reward]) -> dict[str, float]:
    """The share of answers that verifiers failed on, by reason."""
    failed = [r.verdict.reason for r in rewards if r.verdict is not None and r.verdict.status is Status.FAILED]
    return {f"verifier_failed/{reason}": round(n / len(rewards), 4) for reason, n in sorted(Counter(failed).items())}


def _length_metrics(rewards: Sequence[Reward], lengths: Sequence[int]) -> dict[str, float]:
    """Mean lengths in tokens, of right and of wrong answers apart."""
    verdicts = [(r.verdict.status, n) for r, n in zip(rewards, lengths, strict=True) if r.verdict is not None]
    out = {"length": round(statistics.fmean(lengths), 1)}
    for name, status in (("right", Status.OK), ("wrong", Status.WRONG)):
        of_status = [n for known, n in verdicts if known is status]
        out[f"length/{name}"] = round(statistics.fmean(of_status), 1) if of_status else math.nan
    return out


def _share(rates: Sequence[float], low: float, high: float) -> float:
    return round(sum(low <= rate <= high for rate in rates) / len(rates), 4) if rates else math.nan


def _mean(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), 4) if values else math.nan


def refuse_without_signal(groups: Sequence[Group], *, max_new_tokens: int) -> dict[str, float]:
    """UserError where every group's rewards are all equal, so that nothing could be learnt; else what was seen."""
    numbers = rollout_metrics(groups)
    if not any(g.has_signal for g in groups):
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


def note_of(
    index: int, rollout: Rollout, numbers: Mapping[str, float], probe: Mapping[str, float] | None
) -> dict[str, Any]:
    """A few answers of rollout `index`, what the next one goes on from, and what reward hacking is told by."""
    shown = rollout.groups[0]
    answers = [{"text": t, "reward": r.value} for t, r in zip(shown.texts, shown.rewards, strict=True)]
    return {
        "step": index + 1,
        "domain": shown.problem.domain,
        "prompt": shown.problem.prompt,
        "answers": answers[:_SHOWN],
        "cursor": rollout.cursor,
        "solve_rates": {g.problem.id: g.solve_rate for g in rollout.sampled if not math.isnan(g.solve_rate)},
        **({} if probe is None else {"probe": probe}),
        **{key: numbers[key] for key in ("proxy", "held_out") if key in numbers},
    }
