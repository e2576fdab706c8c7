"""Experts and seeds that do not depend on one another, made at the same time, each in its own process.

What they make lands in the store, where the program in `run.py` then finds it: nothing else passes between processes,
and nothing is made that the program would not make. A process that fails is no news yet: the program comes to the same
stage and fails with its own message. Processes end with the one that started them, also when that one is killed.
"""

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess, parent_process
from pathlib import Path
from typing import Any

import torch

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress
from afterbase.core.store import Store
from afterbase.recipe import Recipe, RlRecipe
from afterbase.run import post_train, reinforce_one, teach_only, train_expert
from afterbase.run_seed import R, Seed

Job = Callable[[Any], object]


def open_store(root: Path, threads: int, progress: Progress) -> Store:
    """The store below `root`, and this process set to that many threads."""
    torch.set_num_threads(threads)
    return Store(root / "store", progress=progress, threads=threads)


def seeds(store: Store, recipe: R) -> list[Seed[R]]:
    """Every seed of a recipe, its stages labelled with it where there are several."""
    return [Seed(labelled, recipe, seed) for seed, labelled in stores_of_seeds(store, recipe.seeds)]


def stores_of_seeds(store: Store, seeds: Sequence[int]) -> list[tuple[int, Store]]:
    """Each seed with the store whose stages are labelled with it where there are several."""
    return [(seed, store.labelled(f" [seed {seed}]" if len(seeds) > 1 else "")) for seed in seeds]


def make_ahead(store: Store, recipe: Recipe | RlRecipe, root: Path) -> None:
    """Fill the store with `recipe.processes` processes; returns once all are done or one has failed."""
    before = store.keys()
    waiting = [(at, job) for at in range(len(recipe.seeds)) for job in _jobs(recipe)]
    if isinstance(recipe, Recipe) and len(recipe.seeds) > 1:
        waiting += [(at, post_train) for at in range(len(recipe.seeds))]
    context = multiprocessing.get_context("spawn")
    running: dict[int, BaseProcess] = {}
    try:
        while waiting or running:
            while waiting and len(running) < recipe.processes:
                process = context.Process(target=_work, args=(recipe, root, *waiting.pop(0)))
                process.start()
                running[process.sentinel] = process
            for sentinel in wait(list(running)):
                process = running.pop(sentinel)  # type: ignore[call-overload]  # sentinels are ints outside Windows
                process.join()
                if process.exitcode != 0:
                    return
    finally:
        for process in running.values():
            process.terminate()
            process.join()
        store.ahead |= store.keys() - before


def _jobs(recipe: Recipe | RlRecipe) -> list[Job]:
    """What can be made of a seed at once, the longest first."""
    if isinstance(recipe, RlRecipe):
        return [partial(reinforce_one, name=name) for name in recipe.runs()]
    jobs: list[Job] = [partial(_expert, domain=domain) for domain in recipe.reasoning]
    if recipe.baselines:
        jobs += [partial(_teach_only, domain=domain) for domain in recipe.reasoning]
    return [*jobs, *(partial(_evaluate_base, domain=domain) for domain in recipe.names)]


def _expert(run: Seed[Recipe], *, domain: str) -> None:
    train_expert(run, domain, run.base(), run.problems(domain))


def _teach_only(run: Seed[Recipe], *, domain: str) -> None:
    teach_only(run, domain, run.base(), run.problems(domain))


def _evaluate_base(run: Seed[Recipe], *, domain: str) -> None:
    run.evaluate("base", run.base(), {domain: run.problems(domain)})


def _work(recipe: Recipe | RlRecipe, root: Path, at: int, job: Job) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    store = open_store(root, recipe.threads, Progress(plain=True))
    with contextlib.suppress(KeyboardInterrupt):
        try:
            job(seeds(store, recipe)[at])
        except UserError:
            sys.exit(1)  # the program will say it


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
