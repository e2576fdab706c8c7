"""The loop that every training stage drives: schedule, update, numbers, checkpoints; the gradients are the stage's."""

import contextlib
import json
import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from tensorboardX import SummaryWriter
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError
from afterbase.core.longer_run import Growth
from afterbase.core.store import Workspace
from afterbase.model.checkpoint import Checkpoints, Exports, checkpoint_name
from afterbase.model.parallel import Forward, sharded
from afterbase.train.config import EvaluatedTraining, Training
from afterbase.train.device import training_device
from afterbase.train.memory import kept_memory
from afterbase.train.optimizer import SkippedSteps, adamw, learning_rate, update


def prepare(model: PreTrainedModel, modules: nn.ModuleDict, config: Training, *, cpu: bool = False) -> Forward:
    """Modules made ready to be trained, in place: on their device, spread over the ranks; how to run them forward.

    Nothing is dropped at random: the log-probabilities of preference pairs and of rollouts have to be the model's own.
    They go where `config.device` says, and to the CPU where a stage can only work on the `cpu`.
    """
    modules.eval()
    if config.recompute:
        recompute_layers(model)
    modules.to(training_device(config.device, cpu=cpu))
    return sharded(modules, bfloat16=config.compute == "bfloat16")


def growth(setting: str, config: Training, *, cpu: bool = False) -> Growth | None:
    """How a stage may grow whose plan of a smaller `setting` begins that of a larger; None if its schedule spans all.

    `cpu`: a stage that can work on the CPU alone.
    """
    if config.optimisation.schedule != "constant":
        return None
    return Growth(setting, lambda: training_device(config.device, cpu=cpu).type, keeps_state=config.keep_state)


def refuse_unmeasurable(config: EvaluatedTraining, held_out: Sized) -> None:
    """UserError where the settings ask for measurements, and no rows are held out."""
    if config.eval_every is not None and not len(held_out):
        raise UserError(
            "training is measured on rows that it does not train on",
            got=f"eval_every = {config.eval_every}, and no held-out rows",
            remedy="give a file of held-out rows, keep a share of the rows by `held_out`, or leave `eval_every` out",
        )


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
    resumed run finds it as it was. Where `evaluates` says so, the stage gives the step a `score`; after the last step
    the weights are those of the best measured one, where the settings ask for it.
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
        shown: Sequence[str] = ("loss",),
    ) -> None:
        """`modules` is all that a checkpoint holds; of it the parameters of `trained` are updated.

        `export` writes a model folder from a state; `decay_steps` is the learning rate's span where it is not `steps`.
        Of what is measured the screen shows what is in `shown`, in its order.
        """
        self._work, self._config = work, config
        self._modules, self._trained = modules, trained
        self._steps, self._decay_steps = steps, decay_steps or steps
        self._shown = shown
        self._exports = Exports(work.checkpoints, export) if export is not None and config.keep_checkpoints else None
        self._measurement = config if isinstance(config, EvaluatedTraining) and config.eval_every else None
        self.notes: list[Any] = []
        self._scores: dict[int, float] = {}
        self._numbers: dict[str, float | str] = {}
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
            scores = {int(step): score for step, score in state.get("scores", {}).items()}
            # A shorter run measured its last step, where this one may not have done so.
            self._scores = {step: scores[step] for step in scores if self._measurement is None or self._measured(step)}
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
        if self._work.keeps_state:
            self._work.state = self._state_of_longer_run()
        best = self.best_step
        if best is not None and best != self._step and self._measurement and self._measurement.keep_best:
            self._checkpoints.restore(best)

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
    def evaluates(self) -> bool:
        """Whether this step is worth a `score`: it is to be measured, or without that kept as a model folder."""
        if self._measurement is None:
            return self._exports is not None and self._saves(self._step + 1)
        return self._measured(self._step + 1)

    def score(self, score: float, **numbers: float) -> None:
        """How good this step's weights are, the smaller the better, and what was measured of them.

        Of the kept checkpoints the best stays. The run stops where none of the last `patience` scores was a gain.
        """
        self._scores[self._step + 1] = score
        self._numbers |= {name: round(number, 6) for name, number in numbers.items()}
        if self._measurement is None:
            return
        best = self.best_step
        if best is not None:
            self._numbers["best_step"] = best
        without_gain = sum(step > (best or 0) for step in self._scores)
        if self._measurement.patience is not None and without_gain >= self._measurement.patience:
            self.stop(f"no gain on the held-out rows in {without_gain} measurements")

    @property
    def best_step(self) -> int | None:
        """The first step with the best score so far; None where no score is a finite number."""
        return _best(self._scores)

    def stop(self, reason: str) -> None:
        """No step follows this one, nor in a run that is resumed."""
        self._stopped = self._numbers["stopped"] = reason

    def _measured(self, done: int) -> bool:
        """Whether the settings ask for a measurement after so many steps."""
        every = self._measurement.eval_every if self._measurement else None
        return every is not None and (done % every == 0 or done == self._steps)

    def _saves(self, done: int) -> bool:
        kept = self._measurement is not None and self._measurement.keep_best and self._measured(done)
        last = self._work.keeps_state and (done == self._steps or self._stopped is not None)
        return kept or last or done % self._config.checkpoint_every == 0

    def _of_longer_run(self, done: int) -> bool:
        """Whether a run with more steps would measure after so many, too."""
        every = self._measurement.eval_every if self._measurement else None
        return every is not None and done % every == 0

    def _state_of_longer_run(self) -> list[str]:
        """Names of the checkpoints that a longer run goes on from: the best of those that it measures, and the last.

        None where this run's last step stopped it, for which a measurement may be the reason that no longer run makes.
        """
        if self._stopped is not None and self._step == self._steps:
            return []
        needed = {self._step}
        if self._measurement is not None and self._measurement.keep_best:
            best = _best({step: score for step, score in self._scores.items() if self._of_longer_run(step)})
            needed |= set() if best is None else {best}
        self._checkpoints.settle()
        kept = {folder.name for folder in self._checkpoints.kept()}
        names = [checkpoint_name(step) for step in sorted(needed)]
        return names if kept.issuperset(names) else []

    def _record(self) -> None:
        self._work.log(self._step, self._steps, self._shown, **self._numbers)
        for name, value in self._numbers.items():
            if isinstance(value, int | float) and math.isfinite(value):  # of others TensorBoard warns on the screen
                self._board.add_scalar(name, value, self._step)
        if self._saves(self._step):
            state = {"notes": self.notes, "skipped": self._skipped.total, "stopped": self._stopped}
            if self._scores:
                state["scores"] = self._scores
            # A last step that a longer run does not measure leaves the best one before it where it is.
            scored = self._measurement is None or not self._work.keeps_state or self._of_longer_run(self._step)
            self._checkpoints.save(self._step, state, score=self._scores.get(self._step) if scored else None)


def _best(scores: Mapping[int, float]) -> int | None:
    """The first step with the smallest score; None where no score is a finite number."""
    finite = {step: score for step, score in scores.items() if math.isfinite(score)}
    return min(finite, key=lambda step: (finite[step], step)) if finite else None


def _board(work: Workspace, done: int) -> SummaryWriter:
    """TensorBoard's events of this stage; steps after the `done` ones are written again. Of all ranks, the first's."""
    folder = work.board if ranks.rank() == 0 else work.payload.parent / "board"
    return SummaryWriter(str(folder), purge_step=done + 1)


def _keep_batch(work: Workspace, step: int, batch: object) -> Path:
    path = work.scratch / f"step-{step + 1:08d}-not-finite-rank-{ranks.rank()}.json"
    path.write_text(json.dumps(batch) + "\n")
    return path


def _peak_memory() -> int:
    """Bytes: of the CUDA device where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
