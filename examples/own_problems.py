"""Post-train the shipped tiny model on problems of one's own, with a reward of one's own: about a minute on one core.

    python examples/own_problems.py FOLDER

Fine-tuning teaches the form of an answer alone: one of the two numbers, by chance. Which one is right it finds out by
trial and error. Prints the share of right answers by step, and leaves both models and their reports in FOLDER.
"""

import random
import sys
from pathlib import Path

import afterbase as ab


def larger(*, response: str, row: dict, **context: object) -> bool:
    """The reward: whether the answer is the larger number, and nothing else."""
    return response.strip() == str(max(row["a"], row["b"]))


def main(folder: Path, *, steps: int = 24) -> list[float]:
    """Both trainings below `folder`; the share of answers that were right at each step of the second one."""
    rng = random.Random(0)
    pairs = [rng.sample(range(10, 100), 2) for _ in range(500)]
    problems = [{"a": a, "b": b, "prompt": f"Which is larger, {a} or {b}?"} for a, b in pairs]
    answers = [{"prompt": row["prompt"], "completion": str(rng.choice([row["a"], row["b"]]))} for row in problems[:100]]
    settings = {"threads": 1}
    tuned = ab.sft("tiny-v3", answers, out=folder / "tuned", root=folder, settings={**settings, "epochs": 2})
    rl = {**settings, "steps": steps, "max_new_tokens": 8, "prompts": 16}
    trained = ab.grpo(tuned.model, problems[100:], reward=larger, out=folder / "trained", root=folder, settings=rl)
    return [row["reward"] for row in trained.metrics]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python examples/own_problems.py FOLDER: the folder that models and reports are left in")
    for step, solved in enumerate(main(Path(sys.argv[1])), start=1):
        print(f"{step:3} {solved:6.1%} {'#' * round(40 * solved)}")
