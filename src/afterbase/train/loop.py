"""The loop that every training stage drives: schedule, update, numbers, checkpoints; the gradients are the stage's."""

import contextlib
import json
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError
from afterbase.core.store import Workspace
from afterbase.model.checkpoint import Checkpoints, Exports
from afterbase.model.parallel import Forward, sharded
from afterbase.train.config import Training
from afterbase.train.memory import kept_memory
from afterbase.train.optimizer import SkippedSteps, adamw, learning_rate, update


def prepare(model: PreTrainedModel, modules: nn.ModuleDict, config: Training, *, cpu: bool = False) -> Forward:
    """Modules made ready to be trained, in place: on their device, spread over the ranks; how to run them forward.

    Nothing is dropped at random: the log-probabilities of preference pairs and of rollouts have to be the model's own.
    They go to CUDA where there is one (untested here, without a GPU), unless the stage can only work on the `cpu`.
    """
    modules.eval()
    if config.recompute:
        recompute_layers(model)
    if torch.cuda.is_available() and not cpu:
        modules.to("cuda")
    return sharded(modules, bfloat16=config.compute == "bfloat16")


def recompute_layers(model: PreTrainedModel) -> None:
    """Decoder layers keep no activations. transformers asks for training mode there; nothing in a layer is dropped.

    Raises UserError for a family that cannot compute its layers again.
    """
    if not model.supports_gradient_checkpointing:
        raise UserError(
            "`recompute` needs a family whose layers transformers can compute again",
            got=f"model_type `{model.config.model_type}`",
            remedy="leave `recompute` out of the recipe",
        )
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.training = True  # of the layer itself: what is inside stays as it is
            for name, value in vars(layer).items():
                if "drop" in name and isinstance(value, float):  # `hidden_dropout`, and DBRX's `resid_pdrop`
                    setattr(layer, name, 0.0)


class TrainingLoop:
    """The steps of one run, from the last checkpoint on if there is one. A stage drives it:

        with TrainingLoop(work, config, modules, trained, steps) as loop:
            for step in loop:  # 0-based
                numbers = ...  # leaves the gradients of the step in place; `tokens` is among what it measured
                loop.update(numbers, batch=...)

    What the stage does after the update is in the step's checkpoint too. `notes` (JSON) is kept with checkpoints, and a
    resumed run finds it as it was.
    """

    def __init__(
        self,
        work: Workspace,
        config: Training,
        modules: nn.ModuleDict,
        trained: nn.Module,
        steps: int,
        *,
        export: Callable[[Path, Mapping[str, Tensor]], None] | None = None,
        decay_steps: int | None = None,
    ) -> None:
        """`modules` is all that a checkpoint holds; of it the parameters of `trained` are updated.

        `export` writes a model folder from a state; `decay_steps` is the learning rate's span where it is not `steps`.
        """
        self._work, self._config = work, config
        self._modules, self._trained = modules, trained
        self._steps, self._decay_steps = steps, decay_steps or steps
        self._exports = Exports(work.checkpoints, export) if export is not None and config.keep_checkpoints else None
        self.notes: list[Any] = []
        self._numbers: dict[str, float | str] = {}
        self._score: float | None = None
        self._stopped: str | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as resources:
            resources.enter_context(kept_memory())
            resources.callback(self._free)
            self._optimizer = adamw(self._trained, self._config.optimisation)
            keep = max(1, self._config.keep_checkpoints)
            self._checkpoints = Checkpoints(
                self._work.scratch, self._modules, self._optimizer, keep=keep, exports=self._exports
            )
            self._step, state = self._checkpoints.load()
            self.notes += state.get("notes", [])
            self._stopped = state.get("stopped")
            self._skipped = SkippedSteps(total=state.get("skipped", 0))
            self._work.rewind(self._step)
            self._board = resources.enter_context(contextlib.closing(_board(self._work, self._step)))
            resources.enter_context(self._checkpoints)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)

    def _free(self) -> None:
        """Optimizer states go before `kept_memory` ends, or their memory would stay with this process."""
        for name in ("_optimizer", "_checkpoints"):
            vars(self).pop(name, None)

    def __iter__(self) -> Iterator[int]:
        while self._step < self._steps and self._stopped is None:
            self._started = time.monotonic()
            yield self._step
            self._step += 1
            self._record()

    def update(self, numbers: Mapping[str, float], batch: object) -> bool:
        """Clip, step and clear the gradients; whether the weights moved. `batch` is written down if it ends the run."""
        config = self._config.optimisation
        rate = learning_rate(self._step, self._decay_steps, config)
        norm, moved = update(self._optimizer, rate, config)
        self._skipped.see(norm, moved, lambda: _keep_batch(self._work, self._step, batch))
        self._numbers = {**numbers, "grad_norm": round(norm, 4), "learning_rate": rate}
        if self._skipped.total:
            self._numbers["skipped"] = self._skipped.total
        self._numbers["memory_gib"] = round(_peak_memory() / 2**30, 3)
        self._numbers["tokens_per_second"] = round(numbers["tokens"] / (time.monotonic() - self._started), 1)
        return moved

    @property
    def exports(self) -> bool:
        """Whether this step's weights will be kept as a model folder, and are worth a `score`."""
        return self._saves(self._step + 1) and self._exports is not None

    def score(self, held_out_loss: float) -> None:
        """How good this step's checkpoint is; of those that are kept the best stays."""
        self._score = held_out_loss
        self._numbers["held_out_loss"] = round(held_out_loss, 6)

    def stop(self, reason: str) -> None:
        """No step follows this one, nor in a run that is resumed."""
        self._stopped = self._numbers["stopped"] = reason

    def _saves(self, done: int) -> bool:
        return done % self._config.checkpoint_every == 0

    def _record(self) -> None:
        self._work.log(self._step, self._steps, **self._numbers)
        for name, value in self._numbers.items():
            if name != "stopped":
                self._board.add_scalar(name, value, self._step)
        if self._saves(self._step):
            state = {"notes": self.notes, "skipped": self._skipped.total, "stopped": self._stopped}
            self._checkpoints.save(self._step, state, score=self._score)
        self._score = None


def _board(work: Workspace, done: int) -> SummaryWriter:
    """TensorBoard's events of this stage; steps after the `done` ones are written again. Of all ranks, the first's."""
    return SummaryWriter(work.board if ranks.rank() == 0 else work.payload.parent / "board", purge_step=done + 1)


def _keep_batch(work: Workspace, step: int, batch: object) -> Path:
    path = work.scratch / f"step-{step + 1:08d}-not-finite-rank-{ranks.rank()}.json"
    path.write_text(json.dumps(batch) + "\n")
    return path


def _peak_memory() -> int:
    """Bytes: of the CUDA device where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
