"""The generative reward model against the scalar one, both trained on the same pairs, on pairs of held-out prompts.

    PYTHONPATH=src python benchmarks/reward_models.py [--root FOLDER] [--pairs 200] [--json]

Both start from the SFT checkpoint of the recipe (recipes/chat_rewards.toml) and are made as it says; what lies in the
store below `--root` is not made again. Pairs are of two kinds: the separate generator's drafts, good and flawed, and
the checkpoint's own answers, one that passes and one that fails. The generative model votes with one judgement of each
answer (maj@1) and with six (maj@6). Equal rewards count half. The peer is the scalar model.
"""

import argparse
import random
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
from measures import tell

from afterbase.core.intervals import wilson
from afterbase.core.progress import Progress
from afterbase.core.sample import read_problems
from afterbase.eval.judge_bias import length_gap
from afterbase.eval.reward_model_exam import Pair, Preference, preferences
from afterbase.parallel_stages import open_store, seeds
from afterbase.recipe import RlRecipe, load_recipe
from afterbase.reward.build_judge import load_rewarder
from afterbase.reward.generative import GenerativeReward
from afterbase.reward.scalar import RewardModel
from afterbase.run import draft_pairs, reward_model, started

RECIPE = Path(__file__).parent.parent / "recipes/chat_rewards.toml"
VOTES = (1, 6)


def accuracy(said: Sequence[Preference]) -> float:
    return statistics.fmean(0.5 + 0.5 * (p.says or 0) for p in said)


def measure(
    name: str, said: Sequence[Preference], pairs: Sequence[Pair], peer: Sequence[Preference] | None, as_json
) -> None:
    """Accuracy on all pairs and by source, how often it decides, and the bias of length."""
    for source in ("all", *sorted({pair.source for pair in pairs})):
        own = [i for i, pair in enumerate(pairs) if source in ("all", pair.source)]
        ours, theirs = accuracy([said[i] for i in own]), None
        if peer is not None:
            theirs = accuracy([peer[i] for i in own])
        low, high = wilson(ours * len(own), len(own))
        tell(
            f"{name}_accuracy_{source}", ours, f"share of {len(own)} ({low:.3f} to {high:.3f})",
            peer=theirs, ratio=None if theirs is None else ours / theirs, as_json=as_json,
        )  # fmt: skip
    tell(f"{name}_tied", statistics.fmean(p.says == 0 for p in said), "share", as_json=as_json)
    tell(f"{name}_failed", statistics.fmean(p.says is None for p in said), "share", as_json=as_json)
    credit = [0.5 + 0.5 * (p.says or 0) for p in said]
    bias = length_gap(credit, [len(pair.chosen) - len(pair.rejected) for pair in pairs])
    if bias is not None:
        tell(f"{name}_length_bias", bias, "accuracy where better is longer, less where shorter", as_json=as_json)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--root", type=Path, default=None)
    parser.add_argument("--pairs", type=int, default=200)
    arguments = parser.parse_args()
    recipe = load_recipe(RECIPE)
    assert isinstance(recipe, RlRecipe)
    with tempfile.TemporaryDirectory() as fresh:
        store = open_store(arguments.root or Path(fresh), recipe.threads, Progress())
        (run,) = seeds(store, recipe)
        problems = {name: run.problems(name) for name in recipe.domains}
        (domain,) = recipe.open
        sft = started(run, problems)
        rows = pq.read_table(draft_pairs(run, sft, problems[domain], "test").payload / "pairs.parquet").to_pylist()
        random.Random(0).shuffle(rows)
        known = {p.prompt: p for p in read_problems(problems[domain].payload / "test.parquet")}
        pairs = [
            Pair(problem=known[r["prompt"]], chosen=r["chosen"], rejected=r["rejected"], source=r["source"])
            for r in rows[: arguments.pairs]
        ]
        scalar = load_rewarder(*reward_model(run, "scalar", sft, problems[domain]), seed=run.seed)
        judge = load_rewarder(*reward_model(run, "judge", sft, problems[domain]), seed=run.seed)
        assert isinstance(scalar, RewardModel)
        assert isinstance(judge, GenerativeReward)
        by_scalar = preferences(scalar, pairs)
        measure("scalar", by_scalar, pairs, None, arguments.json)
        for votes in VOTES:
            said = preferences(replace(judge, votes=votes), pairs)
            measure(f"generative_maj_at_{votes}", said, pairs, by_scalar, arguments.json)


if __name__ == "__main__":
    main()
