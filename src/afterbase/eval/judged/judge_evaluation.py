"""What one judge says: verdicts on every model's answers and on RewardBench's pairs, written down and scored."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from afterbase.core.progress import Progress
from afterbase.core.store import write_atomically
from afterbase.eval import judge_bias
from afterbase.eval.benchmarks.question_answers import shown
from afterbase.eval.benchmarks.subject import Subject
from afterbase.eval.judge_bias import Battle
from afterbase.eval.judged.alpaca_eval import annotator as preferences
from afterbase.eval.judged.alpaca_eval import files as alpaca_eval_files
from afterbase.eval.judged.alpaca_eval import score as alpaca_eval
from afterbase.eval.judged.arena_hard import battles
from afterbase.eval.judged.arena_hard import files as arena_hard_files
from afterbase.eval.judged.arena_hard import score as arena_hard
from afterbase.eval.judged.judged_plan import Plan
from afterbase.eval.judged.questions import DIFFICULTY, REGULARISER, Asked
from afterbase.eval.judged.reward_bench import files as reward_bench_files
from afterbase.eval.judged.reward_bench import pair_verdicts as pairs
from afterbase.eval.judged.reward_bench.score import Vote, accuracy, score, winner
from afterbase.rollout.chat_model import ChatModel, Reply

Scores = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Model:
    """One whose answers are judged: to Arena-Hard's questions and to AlpacaEval's instructions, in their order."""

    name: str
    arena: Sequence[Reply]
    alpaca: Sequence[Reply]


@dataclass(frozen=True, kw_only=True)
class JudgeEvaluation:
    """One judge at work; `asking` is how it is reached."""

    plan: Plan
    asked: Asked
    judge: Subject
    asking: ChatModel
    progress: Progress

    def fight(self, model: Model, baseline: Model) -> list[Battle]:
        """Arena-Hard's games of a model against the baseline, also in model_judgment/JUDGE/MODEL.jsonl."""
        total = 2 * len(self.asked.arena)
        with self.progress.stage(f"Arena-Hard: {model.name}, judged by {self.judge.name}") as line:
            games = battles.judge(
                self.judge, self.asking, self.asked.arena, contestant=model.arena, baseline=baseline.arena,
                version=self.asked.version, max_tokens=self.plan.judge_tokens,
                on_answered=lambda done: line.update(done, total),
            )  # fmt: skip
        rows = [
            battles.row_of(question, two, judge=self.judge.name, model=model.name, baseline=baseline.name)
            for question, two in zip(self.asked.arena, games, strict=True)
        ]
        _write_lines(self._judgments(model), rows)
        return [
            battles.battle_of(question, two, contestant=a, baseline=b, version=self.asked.version)
            for question, two, a, b in zip(self.asked.arena, games, model.arena, baseline.arena, strict=True)
        ]

    def arena_score(self, model: Model, fought: Sequence[Battle]) -> Scores:
        """The score of what was fought; none where the judge said nothing, or judged itself, which only tells how vain
        it is."""
        silent = all(battle.shown_first is None and battle.shown_second is None for battle in fought)
        if silent or model.name == self.judge.name:
            return {"score": None, "ci_low": None, "ci_high": None}
        read = arena_hard_files.read_battles(self._judgments(model), self.asked.version, None)
        return asdict(arena_hard.score(read.battles, self.asked.version)[model.name])

    def alpaca_score(self, model: Model) -> Scores:
        """Win rates, also in the public pair of files; length-controlled where the folder of data has what it takes."""
        outputs = [shown(response) for response in model.alpaca]
        with self.progress.stage(f"AlpacaEval: {model.name}, judged by {self.judge.name}") as line:
            rows = preferences.annotate(
                self.asking, self.asked.alpaca, outputs, model=model.name,
                on_finished=lambda at, _: line.update(at + 1, len(outputs)),
            )  # fmt: skip
        own = [
            {"instruction": row.instruction, "output": text, "generator": model.name}
            for row, text in zip(self.asked.alpaca, outputs, strict=True)
        ]
        folder = self.plan.out / "alpaca-eval" / self.judge.name / model.name
        files = [folder / "annotations.json", folder / "model_outputs.json"]
        for path, content in zip(files, (rows, own), strict=True):
            _write(path, json.dumps(content, ensure_ascii=False, indent=1))
        scores = _win_rate([row["preference"] for row in rows])
        if scores["win_rate"] is not None and self.asked.controls_length:
            instructions = alpaca_eval_files.Instructions(self.plan.data / DIFFICULTY)
            (answers,) = alpaca_eval_files.read_models(files, instructions)
            regulariser = alpaca_eval_files.read_regulariser(self.plan.data / REGULARISER)
            scores |= asdict(alpaca_eval.score(answers, regulariser))
        return scores

    def reward_bench(self, k: int) -> Scores:
        """Sections and average by k votes a pair, and the agreement with people over all pairs."""
        total = k * len(self.asked.pairs)
        with self.progress.stage(f"RewardBench: {self.judge.name}, {k} votes") as line:
            rows = pairs.votes(
                self.judge, self.asking, self.asked.pairs, k=k, max_tokens=self.plan.judge_tokens, seed=self.plan.seed,
                on_answered=lambda done: line.update(done, total),
            )  # fmt: skip
        path = self.plan.out / "reward-bench" / f"{self.judge.name}-k{k}.jsonl"
        _write_lines(path, rows)
        accuracies, _ = reward_bench_files.read_accuracies(path, k)
        scored = score(accuracies)
        decided = [
            accuracy(
                [Vote(judgement=vote["judgement"], chosen_shown_as=vote["chosen_shown_as"]) for vote in row["votes"]]
            )
            if any(winner(vote["judgement"]) for vote in row["votes"])
            else None
            for row in rows
        ]
        people = judge_bias.agreement(decided)
        return {
            "sections": scored.sections,
            "average": scored.average,
            "n": len(rows),
            "people": None if people is None else asdict(people),
        }

    def _judgments(self, model: Model) -> Path:
        return self.plan.out / "arena-hard" / "model_judgment" / self.judge.name / f"{model.name}.jsonl"


def _win_rate(preferred: Sequence[float | None]) -> Scores:
    y = np.array([value - 1 for value in preferred if value is not None])
    if len(y) < 2:
        return {"win_rate": None, "standard_error": None, "n_total": len(y)}
    error = 100 * float(y.std(ddof=1) / np.sqrt(len(y)))
    return {"win_rate": 100 * float(y.mean()), "standard_error": error, "n_total": len(y)}


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    _write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode("utf-8", "surrogatepass"))
