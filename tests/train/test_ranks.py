"""Two real processes: the gradients of every loss are those of one, and so is a whole run, killed or not."""

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks_gradients import gradients
from ranks_training import train, train_exactly

import together
from afterbase.core.sample import write_samples
from afterbase.core.tokens import Tokenized
from afterbase.data.pack import pack
from afterbase.model.load import load, save
from afterbase.train.optimizer import Optimisation
from afterbase.train.preference.dpo import Dpo
from afterbase.train.preference.kto import Kto
from afterbase.train.preference.preference_pairs import read_pairs
from toys import toy_samples

HERE = Path(__file__).parent
RATE = Optimisation(learning_rate=1e-3, floor=1e-4)


def toy_rows(rng: random.Random) -> list:
    """Rows of a step: random samples in rows of 16, of which some have nothing to train."""
    samples = []
    for _ in range(rng.randint(3, 8)):
        ids = [rng.randrange(400) for _ in range(rng.randint(1, 12))]
        samples.append(Tokenized(ids, [False] + [rng.random() < 0.6 for _ in ids[1:]]))
    return pack(samples, 16, seed=rng.randrange(100))


@pytest.fixture
def cases(toy_lm, preference_inputs, tmp_path) -> list[tuple[str, tuple]]:
    """Steps of every kind whose rows do not divide by two, and some of a single row."""
    save(toy_lm, tmp_path / "model")
    rng = random.Random(0)
    pairs = read_pairs(toy_lm, preference_inputs(5)[1]).kept
    reference = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shared = {"epochs": 1, "pairs_per_step": 5, "held_out": 0.5, "optimisation": RATE}
    out: list[tuple[str, tuple]] = [("sft", (toy_rows(rng), weight)) for weight in (0.1, 0.1, 0.1, 0.0)]
    for row_tokens in (64, 100, 4096):
        out.append(("reward model", (pairs, row_tokens)))
        out.append(("dpo", (pairs, reference, Dpo(row_tokens=row_tokens, **shared))))
        out.append(("kto", (pairs, reference - 80, Kto(row_tokens=row_tokens, **shared))))
    return out


def test_gradients_of_two_ranks_are_those_of_one(cases, exact_lm, tmp_path):
    """In float64, to 1e-9; those of one are held against a plain loop in each loss's own test."""
    torch.save(cases, tmp_path / "cases.pt")
    together.run(HERE / "ranks_gradients.py", tmp_path)
    for case, found in zip(cases, torch.load(tmp_path / "found.pt", weights_only=False), strict=True):
        alone = gradients(tmp_path, *case)
        assert (found["size"], alone["size"]) == (2, 1)
        assert found["numbers"] == pytest.approx(alone["numbers"], abs=1e-9), case[0]
        assert torch.equal(found["loads"], alone["loads"]), "of the experts, each token once"
        assert bool(found["loads"].any()) == (case[0] == "sft")
        assert found["gradients"].keys() == alone["gradients"].keys()
        largest = 0.0
        for name, gradient in alone["gradients"].items():
            torch.testing.assert_close(found["gradients"][name], gradient, rtol=0, atol=1e-9)
            largest = max(largest, float(gradient.abs().max()))
        assert largest > 1e-3, "there is something to compare"


class Runs:
    """`runs(store, ...)`: a run of `ranks_training.py` on the toy model; returns the end of each process.

    A run of one rank is this process's own: another would load torch anew to do the same.
    """

    def __init__(self, root: Path, inputs: list[str]) -> None:
        self.root = root
        self.inputs = inputs

    def __call__(self, store: str, *, size: int, exact: bool = True, **options: Any) -> list[tuple[int, str]]:
        if size > 1:
            return together.finish(self.start(store, size=size, exact=exact, **options))
        with pytest.MonkeyPatch.context() as patch:
            if exact:
                train_exactly(patch)
            train(self.root, self.options(store, exact=exact, **options))
        return []

    def start(self, store: str, *, size: int, **options: Any) -> list[subprocess.Popen[str]]:
        told = json.dumps(self.options(store, **options))
        return together.start(HERE / "ranks_training.py", self.root, told, size=size)

    def options(
        self, store: str, *, exact: bool = True, settings: dict[str, Any] | None = None, **stop: int
    ) -> dict[str, Any]:
        """What the processes are told; in `step` the one of `rank` gets `signal`."""
        optimisation = {"learning_rate": 1e-3, "floor": 1e-4}
        config = {"epochs": 2, "row_tokens": 64, "rows_per_step": 3, "optimisation": optimisation}
        config |= {"checkpoint_every": 2, **(settings or {})}
        return {"store": store, "inputs": self.inputs, "config": config, "exact": exact, **stop}

    def weights(self, store: str) -> dict[str, torch.Tensor]:
        """What a finished run in float64 has trained."""
        return torch.load(next((self.root / store).glob("*/payload/state.pt")))


@pytest.fixture
def runs(toy_lm, artifact, tmp_path) -> Runs:
    model = artifact("model", lambda folder: save(toy_lm, folder))
    data = artifact("data", lambda folder: write_samples(folder / "samples.parquet", toy_samples(50)))
    return Runs(tmp_path, [model.key, data.key])


def assert_all_well(ended: list[tuple[int, str]]) -> None:
    assert all(status == 0 for status, _ in ended), ended


def largest_difference(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> float:
    assert some.keys() == others.keys()
    return max(float((some[name] - others[name]).abs().max()) for name in some)


@pytest.mark.slow
def test_a_run_that_loses_a_rank_ends_at_once_and_goes_on_with_two_or_with_one(runs: Runs, tmp_path):
    assert_all_well(runs("whole", size=1))
    started = time.monotonic()
    (alive, error), (dead, _) = runs("killed", size=2, rank=1, step=5, signal=signal.SIGKILL)
    assert time.monotonic() - started < 60
    assert dead == -signal.SIGKILL
    assert alive not in (0, -signal.SIGKILL)
    assert "SFT" in error, "the stage is named"
    saved = [path.parent.name for path in (tmp_path / "killed/.work").glob("*/scratch/step-*/.metadata")]
    assert saved in (["step-00000004"], ["step-00000002"]), "training goes on from here"
    shutil.copytree(tmp_path / "killed", tmp_path / "fewer")
    assert_all_well(runs("killed", size=2))
    assert_all_well(runs("fewer", size=1))
    for store in ("killed", "fewer"):
        assert largest_difference(runs.weights(store), runs.weights("whole")) < 1e-9


def test_a_rank_that_does_not_come_is_named(runs: Runs):
    """Stopped, not dead: its connections stay open, and only the want of a sign of life tells."""
    processes = runs.start("stopped", size=2, rank=1, step=3, signal=signal.SIGSTOP)
    error = processes[0].communicate(timeout=300)[1]
    processes[1].kill()
    processes[1].communicate()
    assert processes[0].returncode != 0
    assert "SFT" in error
    assert "rank 1" in error


def test_with_all_that_can_be_asked_for_two_ranks_are_still_one(runs: Runs, tmp_path):
    """LoRA, recomputation, held-out samples, kept model folders."""
    settings = {"lora": {"rank": 2}, "recompute": True, "held_out": 0.3, "keep_checkpoints": 1}
    for store, size in (("one", 1), ("two", 2)):
        assert_all_well(runs(store, size=size, settings=settings))
    one, two = (runs.weights(store) for store in ("one", "two"))
    assert largest_difference(one, two) < 1e-9
    assert not any("lora" in name for name in one)
    kept = [sorted(p.name for p in (tmp_path / s).glob("*/checkpoints/step-*/state.pt")) for s in ("one", "two")]
    assert kept[0] == kept[1] != []


@pytest.mark.slow
def test_in_float32_two_ranks_and_two_then_one_differ_from_one_by_less_than_a_learning_rate(runs: Runs, tmp_path):
    for store, size in (("one", 1), ("two", 2)):
        assert_all_well(runs(store, size=size, exact=False))
    runs("killed", size=2, exact=False, rank=0, step=5, signal=signal.SIGKILL)
    assert_all_well(runs("killed", size=1, exact=False))
    one, two, killed = (
        load(next((tmp_path / store).glob("*/payload"))).modules().state_dict() for store in ("one", "two", "killed")
    )
    assert 0 < largest_difference(one, two) < 1e-3
    assert largest_difference(one, killed) < 1e-3
