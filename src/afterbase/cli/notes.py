"""What the report tells of a run beside its numbers: a sentence each."""

import json

from afterbase.eval.reward_model_exam import describe
from afterbase.report.collect import teacher_tokens
from afterbase.run_seed import Outcome
from afterbase.train.grpo.reward_hacking import change


def notes_on(outcomes: list[Outcome]) -> list[str]:
    """What the teacher wrote, what the reward models know, what the hacking watch saw, and which runs were ended."""
    return [
        *_teacher_notes(outcomes[0]),
        *_reward_model_notes(outcomes),
        *(describe(examination) for outcome in outcomes for examination in outcome.examinations),
        *_watched(outcomes),
        *_stops(outcomes),
    ]


def _teacher_notes(outcome: Outcome) -> list[str]:
    notes = []
    for domain, drafts in outcome.drafts.items():
        reflective, original = teacher_tokens(drafts, outcome.final_model())
        notes.append(f"{domain}: a teacher's answer has {reflective:.0f} tokens, an original response {original:.0f}.")
    return notes


def _watched(outcomes: list[Outcome]) -> list[str]:
    """What the hacking watch saw of each run that a reward model steered: the first fifth of its steps and the last."""
    notes = []
    for outcome in outcomes:
        for curve in outcome.curves:
            steps = [row for row in curve.metrics() if "proxy" in row and "held_out" in row]
            window = max(2, len(steps) // 5)
            if len(steps) < 2 * window:
                continue
            (up, up_error), (rule, rule_error), (longer, _) = (
                change([row[key] for row in steps], window) for key in ("proxy", "held_out", "length")
            )
            notes.append(
                f"Hacking watch of {curve.name}, seed {outcome.seed}: over {len(steps)} steps the reward model's value "
                f"changed by {up:+.3f} (standard error {up_error:.3f}), the rubric's of them by {rule:+.3f} "
                f"({rule_error:.3f}), their length by {longer:+.1f} tokens."
            )
    return notes


def _stops(outcomes: list[Outcome]) -> list[str]:
    """Which runs of RL were ended before their last step, and why."""
    last = [(outcome.seed, curve, curve.metrics()[-1]) for outcome in outcomes for curve in outcome.curves]
    return [
        f"{curve.name}, seed {seed}: stopped after step {row['step']}, as {row['stopped']}."
        for seed, curve, row in last
        if "stopped" in row
    ]


def _reward_model_notes(outcomes: list[Outcome]) -> list[str]:
    reports = [json.loads((o.reward_model.payload / "accuracy.json").read_text()) for o in outcomes if o.reward_model]
    return [
        f"Reward model: {r['held_out_accuracy']:.1%} of {r['held_out_pairs']} held-out pairs ranked right, "
        f"with a mean confidence of {r['held_out_confidence']:.1%}, after {r['training_pairs']} training pairs."
        f"{_by_domain(r.get('by_domain', {}))}"
        for r in reports
    ]


def _by_domain(ranked: dict[str, dict[str, float]]) -> str:
    own = [f"{x['held_out_accuracy']:.0%} of {x['held_out_pairs']} of {name}" for name, x in ranked.items()]
    return f" By domain: {', '.join(own)}." if own else ""
