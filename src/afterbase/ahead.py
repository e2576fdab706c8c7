"""Experts and seeds that do not depend on one another, several at once, each in a process of its own.

What they make lands in the store, where the program in `run.py` then finds it: nothing else passes between processes,
and nothing is made that the program would not make. A process that fails is no news yet: the program comes to the same
stage and fails with its own message. Processes end with the one that started them, also when that one is killed.
"""

import contextlib
import multiprocessing
import os
import sys
import threading
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess, parent_process
from pathlib import Path

import torch

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress
from afterbase.core.store import Store
from afterbase.data.base import import_base
from afterbase.data.problems import make_problems
from afterbase.model.load import find
from afterbase.recipe import Recipe
from afterbase.run import post_train, train_expert

Job = tuple[int, str | None]  # a seed and the domain of an expert; None: all that is left of the seed


def open_store(root: Path, threads: int, progress: Progress) -> Store:
    """The store below `root`, and this process set to that many threads."""
    torch.set_num_threads(threads)
    return Store(root / "store", progress=progress, threads=threads)


def for_seed(store: Store, recipe: Recipe, seed: int) -> Store:
    """The store under a seed's label, where there are several seeds."""
    return store.labelled(f" [seed {seed}]" if len(recipe.seeds) > 1 else "")


def make_ahead(store: Store, recipe: Recipe, root: Path) -> None:
    """Fill the store with `recipe.processes` processes; returns once all are done or one has failed."""
    before = store.keys()
    waiting: list[Job] = [(seed, domain) for seed in recipe.seeds for domain in recipe.reasoning]
    if len(recipe.seeds) > 1:
        waiting += [(seed, None) for seed in recipe.seeds]
    context = multiprocessing.get_context("spawn")
    running: dict[int, BaseProcess] = {}
    try:
        while waiting or running:
            while waiting and len(running) < recipe.processes:
                process = context.Process(target=_work, args=(recipe, root, waiting.pop(0)))
                process.start()
                running[process.sentinel] = process
            for sentinel in wait(list(running)):
                process = running.pop(sentinel)  # type: ignore[call-overload]
                process.join()
                if process.exitcode != 0:
                    return
    finally:
        for process in running.values():
            process.terminate()
            process.join()
        store.ahead |= store.keys() - before


def _work(recipe: Recipe, root: Path, job: Job) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    seed, domain = job
    store = for_seed(open_store(root, recipe.threads, Progress(plain=True)), recipe, seed)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            if domain is None:
                post_train(store, recipe, seed)
            else:
                base = import_base(store, find(recipe.base))
                problems = make_problems(store, domain, recipe.domains[domain], seed=seed)
                train_expert(store, recipe, seed, domain, base, problems)
        except UserError:
            sys.exit(1)  # the program will say it


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
