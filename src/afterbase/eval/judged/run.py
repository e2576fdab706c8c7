"""A whole judged evaluation (V3 report, sections 5.3 and 5.4): answers, verdicts of each judge, scores, calibration.

Everything lies in one folder in the published forms, so that `afterbase score` reads it again: `arena-hard/` with
model_judgment/JUDGE/MODEL.jsonl, `alpaca-eval/JUDGE/MODEL/` with annotations.json and model_outputs.json, and
`reward-bench/JUDGE.jsonl`. Requests are kept beside them: a run that was killed goes on where it stopped.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress
from afterbase.core.store import write_atomically
from afterbase.eval import (
    alpaca_eval,
    alpaca_eval_files,
    arena_hard,
    arena_hard_files,
    reward_bench,
    reward_bench_files,
)
from afterbase.eval.answers import Question, Response, answers
from afterbase.eval.judged import battles, calibration, pairs, preferences, questions
from afterbase.eval.judged.calibration import Battle, Measure
from afterbase.eval.judged.reach import reachable
from afterbase.eval.subject import Answering, Subject, find_subject

TASKS = ("arena-hard", "alpaca-eval", "reward-bench")
PUBLISHED = Path(__file__).parents[1] / "published.json"
DIFFICULTY, REGULARISER = "instructions.csv", "df_gamed_reconstructed.csv.gz"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who is judged on what, by whom; models and judges are folders, shipped names or URLs."""

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    baseline: str | None
    judges: tuple[str, ...]
    data: Path
    out: Path
    limit: int | None
    max_tokens: int
    judge_tokens: int
    votes: int
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            raise UserError("judged benchmarks have names", got=str(unknown), remedy=f"use some of {', '.join(TASKS)}")
        if self.wants("arena-hard") and self.baseline is None:
            raise UserError("Arena-Hard compares with a baseline", got="none", remedy="add --baseline MODEL")
        if not self.models and self.tasks != ("reward-bench",):
            raise UserError("a judged evaluation is of one model or more", got="none", remedy="name MODEL...")
        for name, value in (
            ("--limit", self.limit), ("--votes", self.votes), ("--max-new-tokens", self.max_tokens),
            ("--judge-tokens", self.judge_tokens),
        ):  # fmt: skip
            if value is not None and value < 1:
                raise UserError(f"`{name}` is 1 or more", got=str(value), remedy="raise it")

    def wants(self, task: str) -> bool:
        return task in self.tasks


@dataclass(frozen=True)
class Asked:
    """What is judged: questions with everyone's answers. Read, and refused where it is not there, before any answer."""

    version: arena_hard.Version
    arena: list[questions.ArenaQuestion]
    alpaca: list[questions.Instruction]
    pairs: list[questions.Pair]


def read(plan: Plan) -> Asked:
    """The questions of the wanted benchmarks."""
    version = questions.arena_version(plan.data) if plan.wants("arena-hard") else "2.0"
    return Asked(
        version,
        questions.arena_questions(plan.data, version)[: plan.limit] if plan.wants("arena-hard") else [],
        questions.alpaca_instructions(plan.data)[: plan.limit] if plan.wants("alpaca-eval") else [],
        questions.reward_pairs(plan.data)[: plan.limit] if plan.wants("reward-bench") else [],
    )


def evaluate(plan: Plan, progress: Progress, tell: Callable[[str], None]) -> dict[str, Any]:
    """{judges: {name: {benchmark: scores, calibration, by_task}}, published}; also written to results.json."""
    asked = read(plan)
    subjects = {spec: find_subject(spec) for spec in dict.fromkeys([*plan.models, *_of(plan.baseline)])}
    _refuse_namesakes(list(subjects.values()))
    plan.out.mkdir(parents=True, exist_ok=True)
    written = {spec: _answers(subject, plan, asked, progress) for spec, subject in subjects.items()}
    results: dict[str, Any] = {}
    fights: dict[str, dict[str, list[Battle]]] = {}
    for spec in plan.judges:
        with reachable(spec) as judge:
            if judge.name in results:
                raise UserError("judges have names of their own", got=f"two {judge.name}", remedy="rename a folder")
            asking = judge.open(plan.out / f"judge-{judge.name}.sqlite")
            results[judge.name] = found = {}
            if plan.wants("arena-hard"):
                found["arena-hard"], fights[judge.name] = _arena(
                    plan, asked, subjects, written, judge, asking, progress
                )
            if plan.wants("alpaca-eval"):
                found["alpaca-eval"] = _alpaca(plan, asked, subjects, written, judge, asking, progress, tell)
            if plan.wants("reward-bench"):
                found["reward-bench"] = _reward_bench(plan, asked, judge, asking, progress)
    for name, found in results.items():
        found["calibration"] = _calibration(name, fights, found)
        found["by_task"] = {
            model: {task: asdict(rate) for task, rate in calibration.by_task(seen).items()}
            for model, seen in fights.get(name, {}).items()
        }
    told = {"judges": results, "published": _published()}
    write_atomically(plan.out / "results.json", json.dumps(told, indent=1, ensure_ascii=False).encode())
    return told


def _of(spec: str | None) -> list[str]:
    return [] if spec is None else [spec]


def _refuse_namesakes(subjects: Sequence[Subject]) -> None:
    names = [subject.name for subject in subjects]
    if len(set(names)) < len(names):
        raise UserError("models have names of their own", got=", ".join(names), remedy="rename a folder")


def _answers(subject: Subject, plan: Plan, asked: Asked, progress: Progress) -> dict[str, list[Response]]:
    """A model's greedy answers to both benchmarks' questions."""
    prompts = [*(q.prompt for q in asked.arena), *(row.instruction for row in asked.alpaca)]
    if not prompts:
        return {"arena-hard": [], "alpaca-eval": []}
    with progress.stage(f"answers of {subject.name}") as line:
        responses = answers(
            subject,
            subject.open(plan.out / f"answers-{subject.name}.sqlite"),
            [Question(prompt=prompt, temperature=0.0) for prompt in prompts],
            max_tokens=plan.max_tokens,
            seed=plan.seed,
            on_answered=lambda done: line.update(done, len(prompts)),
        )
    return {"arena-hard": responses[: len(asked.arena)], "alpaca-eval": responses[len(asked.arena) :]}


def _arena(
    plan: Plan,
    asked: Asked,
    subjects: dict[str, Subject],
    written: dict[str, dict[str, list[Response]]],
    judge: Subject,
    asking: Answering,
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, list[Battle]]]:
    assert plan.baseline is not None
    theirs, baseline = written[plan.baseline]["arena-hard"], subjects[plan.baseline].name
    folder = plan.out / "arena-hard" / "model_judgment" / judge.name
    fought: dict[str, list[Battle]] = {}
    for spec in plan.models:
        if spec == plan.baseline:
            continue
        ours, model = written[spec]["arena-hard"], subjects[spec].name
        with progress.stage(f"Arena-Hard: {model}, judged by {judge.name}") as line:
            games = battles.judge(
                judge, asking, asked.arena, contestant=ours, baseline=theirs, version=asked.version,
                max_tokens=plan.judge_tokens, on_answered=lambda done: line.update(done, 2 * len(asked.arena)),
            )  # fmt: skip
        rows = [
            battles.row_of(question, two, judge=judge.name, model=model, baseline=baseline)
            for question, two in zip(asked.arena, games, strict=True)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{model}.jsonl", _lines(rows))
        fought[model] = [
            battles.battle_of(question, two, contestant=a, baseline=b)
            for question, two, a, b in zip(asked.arena, games, ours, theirs, strict=True)
        ]
    scores = {}
    for model, seen in fought.items():
        silent = all(battle.shown_first is None and battle.shown_second is None for battle in seen)
        if silent or model == judge.name:  # what a judge says of itself is no score, and only tells how vain it is
            scores[model] = {"score": None, "ci_low": None, "ci_high": None}
            continue
        read = arena_hard_files.read_battles(folder / f"{model}.jsonl", asked.version, None)
        scores[model] = asdict(arena_hard.score(read.battles, asked.version)[model])
    return scores, fought


def _alpaca(
    plan: Plan,
    asked: Asked,
    subjects: dict[str, Subject],
    written: dict[str, dict[str, list[Response]]],
    judge: Subject,
    asking: Answering,
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Win rates; length-controlled where the instructions' difficulties and the regulariser are in the folder."""
    scores: dict[str, Any] = {}
    for spec in plan.models:
        model, outputs = subjects[spec].name, [response.text for response in written[spec]["alpaca-eval"]]
        with progress.stage(f"AlpacaEval: {model}, judged by {judge.name}") as line:
            rows = preferences.annotate(
                asking, asked.alpaca, outputs, model=model,
                on_finished=lambda at, _: line.update(at + 1, len(asked.alpaca)),
            )  # fmt: skip
        folder = plan.out / "alpaca-eval" / judge.name / model
        folder.mkdir(parents=True, exist_ok=True)
        own = [
            {"instruction": row.instruction, "output": text, "generator": model}
            for row, text in zip(asked.alpaca, outputs, strict=True)
        ]
        write_atomically(folder / "annotations.json", json.dumps(rows, ensure_ascii=False, indent=1).encode())
        write_atomically(folder / "model_outputs.json", json.dumps(own, ensure_ascii=False, indent=1).encode())
        scores[model] = _win_rate([row["preference"] for row in rows])
        if (plan.data / DIFFICULTY).is_file() and (plan.data / REGULARISER).is_file():
            (read_answers,) = alpaca_eval_files.read_models(
                [folder / "annotations.json", folder / "model_outputs.json"],
                alpaca_eval_files.Instructions(plan.data / DIFFICULTY),
            )
            regulariser = alpaca_eval_files.read_regulariser(plan.data / REGULARISER)
            scores[model] |= asdict(alpaca_eval.score(read_answers, regulariser))
    if not (plan.data / DIFFICULTY).is_file():
        tell(f"AlpacaEval: no length-controlled win rate without {DIFFICULTY} and {REGULARISER} in {plan.data}")
    return scores


def _win_rate(preferred: Sequence[float | None]) -> dict[str, Any]:
    y = np.array([value - 1 for value in preferred if value is not None])
    if len(y) < 2:
        return {"win_rate": None, "standard_error": None, "n_total": len(y)}
    error = 100 * float(y.std(ddof=1) / np.sqrt(len(y)))
    return {"win_rate": 100 * float(y.mean()), "standard_error": error, "n_total": len(y)}


def _reward_bench(
    plan: Plan, asked: Asked, judge: Subject, asking: Answering, progress: Progress
) -> dict[str, dict[str, Any]]:
    """The judge alone and by voting: sections, average, and the agreement with people over all pairs."""
    found = {}
    for k in dict.fromkeys((1, plan.votes)):
        name = "alone" if k == 1 else f"maj@{k}"
        total = k * len(asked.pairs)
        with progress.stage(f"RewardBench: {judge.name}, {name}") as line:
            rows = pairs.votes(
                judge, asking, asked.pairs, k=k, max_tokens=plan.judge_tokens, seed=plan.seed,
                on_answered=lambda done, total=total: line.update(done, total),
            )  # fmt: skip
        path = plan.out / "reward-bench" / f"{judge.name}-k{k}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _lines(rows))
        accuracies, _ = reward_bench_files.read_accuracies(path, k)
        score = reward_bench.score(accuracies)
        decided = [reward_bench.majority([reward_bench.Vote(**vote) for vote in row["votes"]]) for row in rows]
        silent = [all(reward_bench.winner(vote["judgement"]) is None for vote in row["votes"]) for row in rows]
        people = calibration.agreement([None if mute else won for won, mute in zip(decided, silent, strict=True)])
        found[name] = {"sections": score.sections, "average": score.average, "n": len(rows), "people": _told(people)}
    return found


def _calibration(judge: str, fights: dict[str, dict[str, list[Battle]]], found: dict[str, Any]) -> dict[str, Any]:
    """What the judge's verdicts follow besides quality, over all contestants; None where nothing can be said."""
    own = fights.get(judge, {})
    seen = [battle for of_model in own.values() for battle in of_model]
    others = [battle for name, models in fights.items() if name != judge for battle in models.get(judge, [])]
    people = found.get("reward-bench", {})
    return {
        "position_bias": _told(calibration.position_bias(seen)),
        "consistency": _told(calibration.consistency(seen)),
        "length_bias": _told(calibration.length_bias(seen)),
        "self_preference": _told(calibration.self_preference(own.get(judge, []), others)),
        "no_verdict": _told(calibration.no_verdict(seen)) if seen else None,
        "agreement_with_people": next((scores["people"] for scores in reversed(people.values())), None),
    }


def _told(measure: Measure | None) -> dict[str, Any] | None:
    return None if measure is None else asdict(measure)


def _published() -> dict[str, Any]:
    """The report's own rows of these benchmarks (arXiv 2412.19437, tables 7 and 8)."""
    tables = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return {"source": tables["source"], "open_ended": tables["open_ended"], "reward_bench": tables["reward_bench"]}


def _lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")
