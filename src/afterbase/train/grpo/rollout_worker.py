"""Rollouts in order: which prompts, which weights, and, where asked for, the next one while this one trains.

What decides about a rollout is the seed, its number, the weights, and the notes on those before it; so a stage that is
resumed makes the same ones again. With overlap the engine has weights of its own, one update older than the trained.
"""

import concurrent.futures
import copy
import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.model.balance import routers
from afterbase.model.load import LanguageModel
from afterbase.model.stop import stop_token_ids
from afterbase.rollout.engine import Engine, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.vllm.vllm_engine import VllmEngine
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.groups import Group, Judge, Rollout, numbers_of, refuse_hopeless, roll_out, sample_groups
from afterbase.train.grpo.prompt_sampling import middling, shuffled

_SHOWN = 2  # answers of a step's first group that the notes keep


class Sampler:
    """Makes a run's rollouts. `behind` is the engine's own copy of the model under overlap, else None.

    `notes` has an entry a rollout: answers to look at, the cursor, solve rates. A resumed stage puts them back before
    it asks for a rollout. `numbers` and `latest` are of the last rollout that was handed out.
    """

    def __init__(
        self, lm: LanguageModel, problems: Sequence[Problem], judge: Judge, config: Grpo, *, seed: int
    ) -> None:
        self._lm = lm
        self._problems = problems
        self._judge = judge
        self._config = config
        self._seed = seed
        self.behind = copy.deepcopy(lm.model).requires_grad_(False) if config.overlap else None
        self._engine = _engine(replace(lm, model=self.behind or lm.model), config)
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="rollout")
        self._pending: concurrent.futures.Future[Rollout] | None = None
        self.notes: list[dict[str, Any]] = []
        self.numbers: dict[str, float] = {}
        self.latest: list[dict[str, object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._engine.close()

    def rollout(self, index: int) -> Rollout:
        """Rollout `index`: the one that was started, else made now; the first one is probed.

        Raises UserError where nothing could be learnt from what the first model samples.
        """
        if self._pending is not None:
            rollout, self._pending = self._pending.result(), None
        else:
            # The first rollout, or the first since a checkpoint: `behind` holds the weights that sampled it before.
            self._engine.sync(index if self.behind is None else max(0, index - 1))
            rollout = self._make(index)
        numbers = numbers_of(rollout.sampled)
        note = _note(index, rollout)
        if index == 0 and self._config.probe_groups:
            note["probe"] = self._probe(rollout)
        note |= {key: numbers[key] for key in ("proxy", "held_out") if key in numbers}
        self.notes.append(note)
        self.numbers = numbers | {f"seconds/{phase}": round(spent, 2) for phase, spent in rollout.seconds.items()}
        self.latest = [{"prompt": g.problem.prompt, "answers": g.texts} for g in rollout.groups]
        return rollout

    def start(self, index: int) -> None:
        """Begin with rollout `index`, under the present weights, while the caller goes on to train."""
        assert self.behind is not None
        self.behind.load_state_dict(self._lm.model.state_dict())
        self._engine.sync(index - 1)
        self._pending = self._thread.submit(self._make, index)

    def _make(self, index: int) -> Rollout:
        cursor = self.notes[-1]["cursor"] if self.notes else 0
        return roll_out(
            cursor,
            self._draw,
            functools.partial(self._sample, index),
            prompts=self._config.prompts,
            dynamic=self._config.objective.dynamic_sampling,
        )

    def _draw(self, cursor: int, count: int) -> list[Problem]:
        if not self._config.difficulty_weighted:
            return shuffled(self._problems, cursor, count, self._seed)
        solve_rates = {id_: rate for note in self.notes for id_, rate in note["solve_rates"].items()}
        return middling(self._problems, cursor, count, self._seed, solve_rates)

    def _sample(self, index: int, problems: Sequence[Problem]) -> tuple[list[Group], dict[str, float]]:
        sampling = Sampling(
            temperature=self._config.temperature,
            max_new_tokens=self._config.max_new_tokens,
            stop_token_ids=stop_token_ids(self._lm),
            seed=self._seed * 1_000_003 + index,
            top_p=self._config.top_p,
        )
        return sample_groups(
            self._engine, self._lm, problems, self._judge, samples=self._config.samples, sampling=sampling
        )

    def _probe(self, rollout: Rollout) -> dict[str, float]:
        groups = rollout.sampled
        missing = self._config.probe_groups - len(groups)
        if missing > 0:
            groups = groups + self._sample(0, self._draw(rollout.cursor, missing))[0]
        return refuse_hopeless(groups, max_new_tokens=self._config.max_new_tokens)


def _engine(lm: LanguageModel, config: Grpo) -> Engine:
    routed = config.objective.keep_routing and bool(routers(lm.model))
    if config.engine == "local":
        return LocalEngine(lm.model, record_routing=routed, int8=config.int8)
    if routed:
        raise UserError(
            "routing can be kept where the engine tells of it",
            got="engine = vllm, objective.keep_routing = true, and a model with experts",
            remedy='use `engine = "local"`, or set `objective.keep_routing = false`',
        )
    return VllmEngine(config.engine_url, lm, token=os.environ.get("AFTERBASE_ROLLOUT_TOKEN"))


def _note(index: int, rollout: Rollout) -> dict[str, Any]:
    shown = rollout.groups[0]
    return {
        "step": index + 1,
        "domain": shown.problem.domain,
        "prompt": shown.problem.prompt,
        "answers": [
            {"text": text, "reward": reward.value}
            for text, reward in list(zip(shown.texts, shown.judged, strict=True))[:_SHOWN]
        ],
        "cursor": rollout.cursor,
        "solve_rates": {g.problem.id: g.solve_rate for g in rollout.sampled if g.solve_rate == g.solve_rate},
    }
