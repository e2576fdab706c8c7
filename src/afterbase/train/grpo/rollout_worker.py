"""What makes rollouts: an engine, the weights that it samples with, and, with overlap, a thread beside the training.

With overlap the engine has weights of its own, the *rollout model*: one rollout's updates older than the trained ones.
With low-rank additions too: the model with the additions put into its weights, since engines know none.
"""

import concurrent.futures
import copy
import os
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from transformers import PreTrainedModel

from afterbase.core.errors import UserError
from afterbase.model.balance import routers
from afterbase.model.load import LanguageModel
from afterbase.rollout.engine import Engine
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.vllm.vllm_engine import VllmEngine
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.groups import Rollout
from afterbase.train.lora import merged


class RolloutWorker:
    """Hands out rollouts in order; `rollout_model` is None where the trained model itself samples."""

    def __init__(self, lm: LanguageModel, config: Grpo) -> None:
        """To be made before `lm` gets its additions, if it gets any."""
        self._lm, self._config = lm, config
        apart = config.overlap or config.lora is not None
        self.rollout_model = copy.deepcopy(lm.model).requires_grad_(False) if apart else None
        self.engine = _engine(replace(lm, model=self.rollout_model or lm.model), config)
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="rollout")
        self._pending: concurrent.futures.Future[Rollout] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        self.engine.close()

    def take(self, index: int, roll_out: Callable[[Engine, int], Rollout]) -> Rollout:
        """Rollout `index`: the one that was begun, else one that is made now."""
        if self._pending is not None:
            rollout, self._pending = self._pending.result(), None
            return rollout
        if self._config.overlap:
            # The first one, or the first since a checkpoint, which holds the rollout model that sampled it before.
            self.engine.sync(max(0, index - 1))
        else:
            self.present(index)
        return roll_out(self.engine, index)

    def begin(self, index: int, roll_out: Callable[[Engine, int], Rollout]) -> None:
        """Begin with rollout `index`, under the present weights, while the caller goes on to train."""
        assert self.rollout_model is not None
        self._copy_weights(self.rollout_model)
        self.engine.sync(index - 1)
        self._pending = self._thread.submit(roll_out, self.engine, index)

    def present(self, version: int) -> Engine:
        """An engine with the present weights: the worker's own, or another where that one works with earlier ones."""
        if self._config.overlap:
            model = copy.deepcopy(self.rollout_model)
            assert model is not None
            self._copy_weights(model)
            engine: Engine = LocalEngine(model, int8=self._config.int8)
        else:
            if self.rollout_model is not None:
                self._copy_weights(self.rollout_model)
            engine = self.engine
        engine.sync(version)
        return engine

    def _copy_weights(self, model: PreTrainedModel) -> None:
        model.load_state_dict(merged(self._lm.model.state_dict(), self._config.lora))


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
