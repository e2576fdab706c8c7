"""Processes that work ahead of the program: what they leave in the store, and how they end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.core.store import Store
from afterbase.parallel_stages import made_beside, make_ahead, seeds
from afterbase.recipe import Recipe, load_recipe
from afterbase.run import post_train


@pytest.fixture
def recipe(micro: Path) -> Recipe:
    recipe = load_recipe(micro)
    assert isinstance(recipe, Recipe)
    domains = {name: recipe.domains[name] for name in ("arithmetic", "chat")}
    return recipe.model_copy(update={"processes": 2, "seeds": (0, 1), "domains": domains})


def _stages(store: Store) -> dict[str, str]:
    return {record.name: record.artifact.digest for record in store.stages}


@pytest.mark.slow
def test_all_seeds_are_made_ahead(recipe, tmp_path):
    store = Store(tmp_path / "store", threads=recipe.threads)
    make_ahead(store, recipe, tmp_path)
    assert store.ahead == store.keys()
    for run in seeds(store, recipe):
        post_train(run)
    assert {record.artifact.key for record in store.stages} == store.ahead
    assert not any(record.cached for record in store.stages)
    assert _stages(store)["GRPO [seed 0]"] != _stages(store)["GRPO [seed 1]"]


def test_only_several_seeds_need_a_label(recipe, tmp_path):
    labels = [run.store.label for run in seeds(Store(tmp_path), recipe)]
    assert labels == [" [seed 0]", " [seed 1]"]
    [alone] = seeds(Store(tmp_path), recipe.model_copy(update={"seeds": (1,)}))
    assert (alone.store.label, alone.seed) == ("", 1)


def test_what_is_made_beside_one_another_is_known_before(recipe, tmp_path):
    store = Store(tmp_path / "store", threads=recipe.threads)
    whole = made_beside(store, recipe)
    assert {"arithmetic expert, GRPO [seed 1]", "GRPO [seed 0]"} <= whole
    alone = made_beside(store, recipe.model_copy(update={"seeds": (0,)}))
    assert {"arithmetic expert, GRPO", "evaluate base on chat"} <= alone
    assert not {"SFT", "GRPO"} & alone
    assert store.stages == []
    assert not store.root.exists()


def test_what_fails_ahead_fails_again_in_the_program_with_its_message(recipe, tmp_path):
    short = recipe.expert.sft.model_copy(update={"row_tokens": 64})  # every sample with the system prompt is longer
    expert = recipe.expert.model_copy(update={"sft": short})
    broken = recipe.model_copy(update={"expert": expert, "seeds": (0,)})  # each process more loads torch anew
    store = Store(tmp_path / "store", threads=recipe.threads)
    make_ahead(store, broken, tmp_path)
    with pytest.raises(UserError, match="supervised fine-tuning needs at least one token"):
        post_train(seeds(store, broken)[0])


KILLED = """
import os, signal, sys
from multiprocessing.process import active_children
from pathlib import Path
from afterbase import parallel_stages as ahead
from afterbase.core.store import Store
from afterbase.recipe import load_recipe

def killed(*arguments, **settings):
    print(*[child.pid for child in active_children()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    ahead.wait = killed
    root = Path(sys.argv[2])
    ahead.make_ahead(Store(root / "store"), load_recipe(Path(sys.argv[1])), root)
"""


def test_processes_end_with_the_one_that_started_them(micro, tmp_path):
    micro.write_text(micro.read_text().replace("threads = 1", "threads = 1\nprocesses = 2"))
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(micro), str(tmp_path / "root")]
    # The children hold the pipe's other end: it closes when the last of them has ended.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as started:
        out, _ = started.communicate(timeout=300)
    assert started.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in out.split()]
    assert len(pids) == 2
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    """Whether a process is there and has not ended: an orphan may wait as a zombie for init to see it."""
    status = Path(f"/proc/{pid}/status")
    return status.is_file() and "State:\tZ" not in status.read_text()
