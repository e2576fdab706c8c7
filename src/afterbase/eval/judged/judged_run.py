"""A whole judged evaluation (V3 report, sections 5.3 and 5.4): answers, verdicts of each judge, scores, calibration.

Everything lies in one folder in the published forms, so that `afterbase score` reads it again: `arena-hard/` with
model_judgment/JUDGE/MODEL.jsonl, `alpaca-eval/JUDGE/MODEL/` with annotations.json and model_outputs.json, and
`reward-bench/JUDGE-kN.jsonl`. Requests are kept beside them: a run that was killed continues where it stopped.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress
from afterbase.core.store import write_atomically
from afterbase.eval import judge_bias
from afterbase.eval.benchmarks.question_answers import Question, answers
from afterbase.eval.benchmarks.subject import Subject, find_subject
from afterbase.eval.judge_bias import Battle, Measure
from afterbase.eval.judged.judge_evaluation import JudgeEvaluation, Model, Scores
from afterbase.eval.judged.judged_plan import Plan
from afterbase.eval.judged.questions import DIFFICULTY, REGULARISER, Asked, read

PUBLISHED = Path(__file__).with_name("published.json")
Fights = dict[str, dict[str, list[Battle]]]
"""By judge and model."""


def evaluate(plan: Plan, progress: Progress, notify: Callable[[str], None]) -> dict[str, Any]:
    """{judges: {name: {benchmark: scores, calibration, by_task}}, published}; also written to results.json.

    Questions, models and judges are all looked for before anybody is asked.
    """
    asked = read(plan)
    if plan.wants("alpaca-eval") and not asked.controls_length:
        notify(f"AlpacaEval: no length-controlled win rate without {DIFFICULTY} and {REGULARISER} in {plan.data}")
    specs = [*plan.models, *([] if plan.baseline is None else [plan.baseline])]
    subjects = {spec: find_subject(spec) for spec in dict.fromkeys(specs)}
    _refuse_namesakes("models", list(subjects.values()))
    judges = [replace(find_subject(spec), plain=False) for spec in plan.judges]  # a judge has a chat template
    _refuse_namesakes("judges", judges)
    plan.out.mkdir(parents=True, exist_ok=True)
    models = {spec: _model(subject, plan, asked, progress) for spec, subject in subjects.items()}
    baseline = None if plan.baseline is None else models[plan.baseline]
    contestants = [models[spec] for spec in plan.models if models[spec] is not baseline or not plan.wants("arena-hard")]
    results: dict[str, Scores] = {}
    fights: Fights = {}
    for judge in judges:
        of_judge = JudgeEvaluation(
            plan=plan, asked=asked, judge=judge, progress=progress,
            asking=judge.open(plan.out / f"judge-{judge.name}.sqlite"),
        )  # fmt: skip
        found = results[judge.name] = {}
        if plan.wants("arena-hard"):
            assert baseline is not None
            fights[judge.name] = {model.name: of_judge.fight(model, baseline) for model in contestants}
            found["arena-hard"] = {
                model.name: of_judge.arena_score(model, fights[judge.name][model.name]) for model in contestants
            }
        if plan.wants("alpaca-eval"):
            found["alpaca-eval"] = {models[spec].name: of_judge.alpaca_score(models[spec]) for spec in plan.models}
        if plan.wants("reward-bench"):
            found["reward-bench"] = {
                "alone" if k == 1 else f"maj@{k}": of_judge.reward_bench(k) for k in dict.fromkeys((1, plan.votes))
            }
    for name, found in results.items():
        found["calibration"] = _calibration(name, fights, found)
        found["by_task"] = {
            model: {task: asdict(rate) for task, rate in judge_bias.by_task(fought).items()}
            for model, fought in fights.get(name, {}).items()
        }
    output = {"judges": results, "published": published()}
    write_atomically(plan.out / "results.json", json.dumps(output, indent=1, ensure_ascii=False).encode())
    return output


def _refuse_namesakes(who: str, subjects: Sequence[Subject]) -> None:
    names = [subject.name for subject in subjects]
    if len(set(names)) < len(names):
        raise UserError(f"{who} have names of their own", got=", ".join(names), remedy="rename a folder")


def _model(subject: Subject, plan: Plan, asked: Asked, progress: Progress) -> Model:
    """A model's greedy answers to both benchmarks' questions."""
    prompts = [*(question.prompt for question in asked.arena), *(row.instruction for row in asked.alpaca)]
    if not prompts:
        return Model(name=subject.name, arena=[], alpaca=[])
    with progress.stage(f"answers of {subject.name}") as line:
        responses = answers(
            subject,
            subject.open(plan.out / f"answers-{subject.name}.sqlite"),
            [Question(prompt=prompt, temperature=0.0) for prompt in prompts],
            max_tokens=plan.max_tokens,
            seed=plan.seed,
            on_answered=lambda done: line.update(done, len(prompts)),
        )
    split = len(asked.arena)
    return Model(name=subject.name, arena=responses[:split], alpaca=responses[split:])


def _calibration(judge: str, fights: Fights, found: Scores) -> dict[str, Any]:
    """What the judge's verdicts follow besides quality, over all contestants; None where nothing can be said."""
    own = fights.get(judge, {})
    seen = [battle for of_model in own.values() for battle in of_model]
    others = [battle for name, models in fights.items() if name != judge for battle in models.get(judge, [])]
    votes = list(found.get("reward-bench", {}).values())
    return {
        "position_bias": _as_dict(judge_bias.position_bias(seen)),
        "consistency": _as_dict(judge_bias.consistency(seen)),
        "length_bias": _as_dict(judge_bias.length_bias(seen)),
        "self_preference": _as_dict(judge_bias.self_preference(own.get(judge, []), others)),
        "no_verdict": _as_dict(judge_bias.no_verdict(seen)) if seen else None,
        "agreement_with_people": votes[-1]["people"] if votes else None,
    }


def _as_dict(measure: Measure | None) -> dict[str, Any] | None:
    return None if measure is None else asdict(measure)


def published() -> dict[str, Any]:
    """The report's own rows of these benchmarks (arXiv 2412.19437, tables 7 and 8)."""
    tables = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return {"source": tables["source"], "open_ended": tables["open_ended"], "reward_bench": tables["reward_bench"]}
