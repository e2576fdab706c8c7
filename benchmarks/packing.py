"""Packing: how full the rows get beside TRL's best-fit packing, and how long 1.5 million samples take.

    PYTHONPATH=src python benchmarks/packing.py [--json]

Lengths are drawn like those of long chains of thought: log-normal, half below 1,100 tokens, cut at a row of 4,096. TRL
(`pack_dataset`, strategy `bfd`) packs each thousand samples by itself, ours all at once; both get the same 50,000. TRL
moves the tokens as it packs, so that its time is no peer for the plan's, which stands alone.
"""

import argparse
import time

import numpy as np
from datasets import Dataset
from measures import tell
from trl import pack_dataset

from afterbase.data.pack import best_fit_decreasing

CAPACITY, SAMPLES, PEER_SAMPLES = 4096, 1_500_000, 50_000


def lengths(count: int) -> list[int]:
    """Tokens of each sample."""
    drawn = np.random.default_rng(0).lognormal(mean=7.0, sigma=0.8, size=count)
    return np.clip(drawn, 1, CAPACITY).astype(int).tolist()


def fill(of: list[int], rows: int) -> float:
    """Share of all rows' tokens that samples fill."""
    return sum(of) / (rows * CAPACITY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    many, few = lengths(SAMPLES), lengths(PEER_SAMPLES)
    start = time.perf_counter()
    rows = best_fit_decreasing(many, CAPACITY)
    seconds = time.perf_counter() - start
    dataset = Dataset.from_dict({"input_ids": [np.zeros(n, dtype=np.int8) for n in few]})
    peer_rows = len(pack_dataset(dataset, CAPACITY, strategy="bfd"))
    ours, peer = fill(few, len(best_fit_decreasing(few, CAPACITY))), fill(few, peer_rows)
    tell("packing_fill_vs_trl", ours, "share of a row", peer=peer, ratio=ours / peer, as_json=arguments.json)
    tell("packing_fill_1.5M", fill(many, len(rows)), "share of a row", as_json=arguments.json)
    tell("packing_plan_1.5M", seconds, "s", as_json=arguments.json)


if __name__ == "__main__":
    main()
