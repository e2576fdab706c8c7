"""Experts and seeds that do not depend on one another, made at the same time, each in its own process.

What they make lands in the store, where the program in `run.py` then finds it: nothing else passes between processes,
and nothing is made that the program would not make. A process that fails is no news yet: the program comes to the same
stage and fails with its own message. Processes end with the one that started them, also when that one is killed.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import parent_process
from pathlib import Path
from typing import Any

import torch

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress, Silent
from afterbase.core.screen.child_screen import ChildScreen, SentLines
from afterbase.core.store import Store
from afterbase.recipe import Recipe, RlRecipe
from afterbase.run import post_train, reinforce_one, teach_only, train_expert
from afterbase.run_seed import R, Seed

Job = Callable[[Any], object]
_TICK = 1.0  # seconds between two looks at what the processes have to show


def open_store(root: Path, threads: int, progress: Progress) -> Store:
    """The store below `root`, and this process set to that many threads."""
    torch.set_num_threads(threads)
    return Store(root / "store", progress=progress, threads=threads)


def seeds(store: Store, recipe: R) -> list[Seed[R]]:
    """Every seed of a recipe, its stages labelled with it where there are several."""
    return [Seed(labelled, recipe, seed) for seed, labelled in stores_of_seeds(store, recipe.seeds)]


def stores_of_seeds(store: Store, seeds: Sequence[int]) -> list[tuple[int, Store]]:
    """Each seed with the store whose stages are labelled with it where there are several."""
    if len(seeds) == 1:
        return [(seeds[0], store)]
    return [(seed, store.labelled(f" [seed {seed}]").under(f"seed {seed}")) for seed in seeds]


def made_beside(store: Store, recipe: Recipe | RlRecipe) -> set[str]:
    """Names of the stages that `make_ahead` has other processes make, several at the same time."""
    planned = dataclasses.replace(store, plan_only=True, progress=Silent(), stages=[])
    for at, job in _all_jobs(recipe):
        job(seeds(planned, recipe)[at])
    return {record.name for record in planned.stages}


def make_ahead(store: Store, recipe: Recipe | RlRecipe, root: Path) -> None:
    """Fill the store with `recipe.processes` processes; returns once all are done or one has failed."""
    before = store.keys()
    waiting = _all_jobs(recipe)
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < recipe.processes:
                running.append(_Worker(recipe, root, *waiting.pop(0)))
            wait([source for worker in running for source in worker.sources], timeout=_TICK)
            for worker in [worker for worker in running if worker.tell(store.progress)]:
                running.remove(worker)
                if worker.exit_code() != 0:
                    return
            store.progress.tick()
    finally:
        for worker in running:
            worker.process.terminate()
            worker.exit_code()
        store.ahead |= store.keys() - before


class _Worker:
    """A process that makes one job's stages, and what it has to show of them."""

    def __init__(self, recipe: Recipe | RlRecipe, root: Path, at: int, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self._news, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(recipe, root, theirs, at, job))
        self.process.start()
        theirs.close()  # so that the pipe ends with the process
        self.sources: list[Any] = [self.process.sentinel, self._news]  # what `wait` can wait for

    def tell(self, progress: Progress) -> bool:
        """Show what it has sent; whether it has ended."""
        ended = not self.process.is_alive()  # before the last look: what it sent until then is there
        try:
            while self._news in self.sources and self._news.poll():
                progress.show(self._news.recv())
        except EOFError:
            self.sources.remove(self._news)
        return ended

    def exit_code(self) -> int | None:
        """How it ended, for which this waits."""
        self.process.join()
        self._news.close()
        return self.process.exitcode


def _all_jobs(recipe: Recipe | RlRecipe) -> list[tuple[int, Job]]:
    """The jobs of all seeds, each with the place of its seed; whole seeds once their parts are there."""
    jobs = [(at, job) for at in range(len(recipe.seeds)) for job in _jobs(recipe)]
    if isinstance(recipe, Recipe) and len(recipe.seeds) > 1:
        jobs += [(at, post_train) for at in range(len(recipe.seeds))]
    return jobs


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


def _work(recipe: Recipe | RlRecipe, root: Path, parent: Connection, at: int, job: Job) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout = sys.stderr = SentLines(parent)  # two processes on one terminal would write over one another
    store = open_store(root, recipe.threads, Progress(screen=ChildScreen(parent)))
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
