"""The loop that every training stage runs through: gradients, schedule, update, numbers, checkpoints.

A stage brings what is its own as one function from a step's number to what it measured; afterwards the gradients are
in place. Everything else is the same everywhere, and here.
"""

import contextlib
import json
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from afterbase.core import distributed as ranks
from afterbase.core.config import Config, How
from afterbase.core.errors import UserError
from afterbase.core.store import Workspace
from afterbase.model.checkpoint import Checkpoints, Exports
from afterbase.model.parallel import Forward, sharded
from afterbase.train.memory import kept_memory
from afterbase.train.optimizer import Optimisation, SkippedSteps, adamw, learning_rate, update


class Training(Config):
    """What every training stage's settings have in common."""

    optimisation: Optimisation
    compute: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products; weights and optimizer states are float32 always. bfloat16 pays where the hardware has it."""
    recompute: How[bool] = False
    """Keep no activations within a layer but compute them again in the backward pass: less memory, more work."""
    checkpoint_every: How[int] = Field(default=50, ge=1)
    """Steps between checkpoints to resume from."""
    keep_checkpoints: How[int] = Field(default=0, ge=0)
    """So many latest checkpoints, and the best where one is measured, stay beside the result as model folders."""


def prepare(model: PreTrainedModel, modules: nn.ModuleDict, config: Training, *, cpu: bool = False) -> Forward:
    """Modules made ready to be trained, in place: on their device, spread over the ranks; how to run them forward.

    Nothing is dropped at random: the log-probabilities of preference pairs and of rollouts have to be the model's own.
    They go to CUDA where there is one (untested here, for want of a GPU), unless the stage can only work on the `cpu`.
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


@kept_memory()
def train(
    work: Workspace,
    config: Training,
    modules: nn.ModuleDict,
    trained: nn.Module,
    steps: int,
    compute: Callable[[int], Mapping[str, float]],
    *,
    batch: Callable[[int], object],
    export: Callable[[Path, Mapping[str, Tensor]], None] | None = None,
    notes: list[Any] | None = None,
    score: Callable[[], float] | None = None,
    after: Callable[[int, bool], None] | None = None,
    stop: Callable[[], str | None] | None = None,
    schedule: int | None = None,
) -> None:
    """`steps` updates of the parameters of `trained`, from the last checkpoint on if there is one.

    `compute(step)` leaves the gradients of a 0-based step and returns its numbers, `tokens` among them. `modules` is
    all that a checkpoint holds, `notes` what `compute` adds to beside it (JSON). `batch(step)` says what was in a step,
    for one that is skipped. `export` writes a model folder from a state; `score` measures a checkpoint, the smaller the
    better; `after(step, moved)` follows the update; `stop` gives the reason why no step follows, if
    there is one; `schedule` is the learning rate's span where it is not `steps`.
    """
    optimizer = adamw(trained, config.optimisation)
    exports = Exports(work.checkpoints, export) if export is not None and config.keep_checkpoints else None
    checkpoints = Checkpoints(work.scratch, modules, optimizer, keep=max(1, config.keep_checkpoints), exports=exports)
    done, state = checkpoints.load()
    notes = [] if notes is None else notes
    notes += state.get("notes", [])
    work.rewind(done)
    skipped = SkippedSteps(total=state.get("skipped", 0))
    with contextlib.closing(_board(work, done)) as board, checkpoints:
        for step in range(done, steps):
            if stop is not None and stop() is not None:
                break
            started = time.monotonic()
            numbers = dict(compute(step))
            rate = learning_rate(step, schedule or steps, config.optimisation)
            norm, moved = update(optimizer, rate, config.optimisation)
            skipped.see(norm, moved, lambda step=step: _keep_batch(work, step, batch))
            if after is not None:
                after(step, moved)
            numbers |= {"grad_norm": round(norm, 4), "learning_rate": rate}
            if skipped.total:
                numbers["skipped"] = skipped.total
            numbers["memory_gib"] = round(_peak_memory() / 2**30, 3)
            numbers["tokens_per_second"] = round(numbers["tokens"] / (time.monotonic() - started), 1)
            saved = (step + 1) % config.checkpoint_every == 0
            scored = score() if saved and exports is not None and score is not None else None
            if scored is not None:
                numbers["held_out_loss"] = round(scored, 6)
            reason = stop() if stop is not None else None
            work.log(step + 1, steps, **numbers, **({} if reason is None else {"stopped": reason}))
            for name, value in numbers.items():
                board.add_scalar(name, value, step + 1)
            if saved:
                checkpoints.save(step + 1, {"notes": notes, "skipped": skipped.total}, score=scored)


def _board(work: Workspace, done: int) -> SummaryWriter:
    """TensorBoard's events of this stage; steps after the `done` ones are written again. Of all ranks, the first's."""
    return SummaryWriter(work.board if ranks.rank() == 0 else work.payload.parent / "board", purge_step=done + 1)


def _keep_batch(work: Workspace, step: int, batch: Callable[[int], object]) -> Path:
    path = work.scratch / f"step-{step + 1:08d}-not-finite-rank-{ranks.rank()}.json"
    path.write_text(json.dumps(batch(step)) + "\n")
    return path


def _peak_memory() -> int:
    """Bytes: of the CUDA device where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
