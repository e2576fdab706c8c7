"""The files of the judged benchmarks, in the forms in which they are published.

`arena_hard_v0.1.jsonl` and `arena_hard_v2.0.jsonl`: lmarena/arena-hard-auto's question.jsonl. `alpaca_eval.json`:
tatsu-lab/alpaca_eval's instructions with the baseline's outputs. `reward_bench.jsonl`: rows of allenai/reward-bench.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, model_validator

from afterbase.core.errors import UserError
from afterbase.core.rows import read_rows, refuse_repeats
from afterbase.eval.judged.arena_hard.score import Version
from afterbase.eval.judged.judged_plan import Plan

ARENA_HARD: dict[Version, str] = {"0.1": "arena_hard_v0.1.jsonl", "2.0": "arena_hard_v2.0.jsonl"}
ALPACA_EVAL, REWARD_BENCH = "alpaca_eval.json", "reward_bench.jsonl"
DIFFICULTY, REGULARISER = "instructions.csv", "df_gamed_reconstructed.csv.gz"  # what length control takes
_HUB = {
    "arena_hard_v0.1.jsonl": "lmarena/arena-hard-auto, data/arena-hard-v0.1/question.jsonl",
    "arena_hard_v2.0.jsonl": "lmarena/arena-hard-auto, data/arena-hard-v2.0/question.jsonl",
    ALPACA_EVAL: "tatsu-lab/alpaca_eval, alpaca_eval_gpt4_baseline.json",
    REWARD_BENCH: "allenai/reward-bench, split filtered, as JSONL",
}
_ONCE = "a question is asked once"


class ArenaQuestion(BaseModel):
    """A prompt of Arena-Hard; `task` is its kind: a cluster in 0.1, a category in 2.0."""

    uid: str = Field(validation_alias=AliasChoices("uid", "question_id"))
    category: str = "arena-hard-v0.1"
    task: str = Field(default="", validation_alias=AliasChoices("subcategory", "cluster"))
    prompt: str

    @model_validator(mode="before")
    @classmethod
    def _first_turn(cls, row: Any) -> Any:
        turns = row.get("turns") if isinstance(row, dict) else None
        return {**row, "prompt": turns[0]["content"]} if turns and "prompt" not in row else row

    @property
    def kind(self) -> str:
        return self.task or self.category


class Instruction(BaseModel):
    """An instruction of AlpacaEval and the baseline's answer."""

    instruction: str
    output: str
    generator: str
    dataset: str = ""


class Pair(BaseModel):
    """A prompt of RewardBench with the answer that people chose and the one that they rejected."""

    id: int | str
    subset: str
    prompt: str
    chosen: str
    rejected: str


def arena_version(folder: Path) -> Version:
    """Which Arena-Hard lies in the folder; the newer one of two."""
    for version in reversed(ARENA_HARD):
        if (folder / ARENA_HARD[version]).is_file():
            return version
    raise _missing(folder, *ARENA_HARD.values())


def arena_questions(folder: Path, version: Version) -> list[ArenaQuestion]:
    """The prompts, each once."""
    path = folder / ARENA_HARD[version]
    rows = read_rows(_there(path), ArenaQuestion)
    refuse_repeats((row.uid for row in rows), path, _ONCE)
    return rows


def alpaca_instructions(folder: Path) -> list[Instruction]:
    """The instructions with one baseline's answers."""
    path = folder / ALPACA_EVAL
    rows = read_rows(_there(path), Instruction)
    refuse_repeats((row.instruction for row in rows), path, _ONCE)
    names = sorted({row.generator for row in rows})
    if len(names) != 1:
        raise UserError("the baseline's outputs are of one model", got=f"{names} in {path}", remedy="name one's file")
    return rows


def reward_pairs(folder: Path) -> list[Pair]:
    """The pairs, each once."""
    path = folder / REWARD_BENCH
    rows = read_rows(_there(path), Pair)
    refuse_repeats(((row.subset, row.id) for row in rows), path, _ONCE)
    return rows


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The questions of the wanted benchmarks; `controls_length`: the win rate can be controlled for length."""

    version: Version
    arena: list[ArenaQuestion]
    alpaca: list[Instruction]
    pairs: list[Pair]
    controls_length: bool


def read(plan: Plan) -> Asked:
    """The first questions of each benchmark. UserError where a file is missing or no such file."""
    version = arena_version(plan.data) if plan.wants("arena-hard") else "2.0"
    return Asked(
        version=version,
        arena=arena_questions(plan.data, version)[: plan.limit] if plan.wants("arena-hard") else [],
        alpaca=alpaca_instructions(plan.data)[: plan.limit] if plan.wants("alpaca-eval") else [],
        pairs=reward_pairs(plan.data)[: plan.limit] if plan.wants("reward-bench") else [],
        controls_length=all((plan.data / name).is_file() for name in (DIFFICULTY, REGULARISER)),
    )


def _there(path: Path) -> Path:
    if not path.is_file():
        raise _missing(path.parent, path.name)
    return path


def _missing(folder: Path, *names: str) -> UserError:
    return UserError(
        "a judged benchmark finds its file in the folder of --data",
        got=f"no {' or '.join(names)} in {folder}",
        remedy="; ".join(f"{name}: {_HUB[name]}" for name in names),
    )
