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
from afterbase.core.store import StageRecord, Store
from afterbase.recipe import Recipe, RlRecipe
from afterbase.run import post_train, reinforce_one, teach_only, train_expert
from afterbase.run_seed import R, Seed

Job = Callable[[Any], object]
_DONE = None  # what a process sends after a job
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
    return {record.name for _, _, records in _planned_jobs(store, recipe) for record in records}


def make_ahead(store: Store, recipe: Recipe | RlRecipe, root: Path) -> None:
    """Fill the store with `recipe.processes` processes; returns once all is made or one has failed.

    A process takes one job after the other, and none starts for what is there: their imports take seconds each.
    """
    before = store.keys()
    waiting = [
        (at, job)
        for at, job, records in _planned_jobs(store, recipe)
        if any(record.artifact.planned for record in records)
    ]
    workers = [_Worker(recipe, root) for _ in range(min(recipe.processes, len(waiting)))]
    try:
        while workers:
            for worker in [worker for worker in workers if not worker.busy]:
                if waiting:
                    worker.give(*waiting.pop(0))
                else:
                    workers.remove(worker)
                    worker.end()
            if workers:
                wait([source for worker in workers for source in worker.sources], timeout=_TICK)
            alive = [worker.tell(store.progress) for worker in workers]  # of all, also where one has failed
            if not all(alive):
                return
            store.progress.tick()
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.end()
        store.ahead |= store.keys() - before


class _Worker:
    """A process that makes the stages of one job after the other, and what it has to show of them."""

    def __init__(self, recipe: Recipe | RlRecipe, root: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(recipe, root, theirs))
        self.process.start()
        theirs.close()  # so that the pipe ends with the process
        self.busy = False
        self.sources: list[Any] = [self.process.sentinel, self._pipe]  # what `wait` can wait for

    def give(self, at: int, job: Job) -> None:
        """A job, with the place of its seed."""
        self.busy = True
        with contextlib.suppress(OSError):  # it has ended, which `tell` sees
            self._pipe.send((at, job))

    def tell(self, progress: Progress) -> bool:
        """Show what it has sent; whether it lives."""
        lives = self.process.is_alive()  # before the last look: what it sent until then is there
        try:
            while self._pipe.poll():
                news = self._pipe.recv()
                if news is _DONE:
                    self.busy = False
                else:
                    progress.show(news)
        except (EOFError, OSError):
            return False
        return lives

    def end(self) -> None:
        """No job follows; waits for its end."""
        self._pipe.close()
        self.process.join()


def _planned_jobs(store: Store, recipe: Recipe | RlRecipe) -> list[tuple[int, Job, list[StageRecord]]]:
    """All jobs, each with the place of its seed and the stages that it comes to, planned."""
    planned = []
    for at, job in _all_jobs(recipe):
        plan = dataclasses.replace(store, plan_only=True, progress=Silent(), stages=[], told=set())
        job(seeds(plan, recipe)[at])
        planned.append((at, job, plan.stages))
    return planned


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


def _work(recipe: Recipe | RlRecipe, root: Path, parent: Connection) -> None:
    """Make one job's stages after the other's, until the parent closes the pipe."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout = sys.stderr = SentLines(parent)  # two processes on one terminal would write over one another
    store = open_store(root, recipe.threads, Progress(screen=ChildScreen(parent)))
    with contextlib.suppress(KeyboardInterrupt):
        while (given := _given(parent)) is not None:
            at, job = given
            try:
                job(seeds(store, recipe)[at])
            except UserError:
                sys.exit(1)  # the program will say it
            parent.send(_DONE)


def _given(parent: Connection) -> tuple[int, Job] | None:
    """The next job, for which this waits; None once there is none."""
    try:
        return parent.recv()
    except EOFError:
        return None


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
