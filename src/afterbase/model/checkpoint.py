"""The state a training loop resumes from, written by torch DCP beside the training, for any number of ranks.

    FOLDER/step-00000050/.metadata     written last: a checkpoint without it does not count
    FOLDER/step-00000050/state.json    its score, and what the loop needs besides the weights
    FOLDER/step-00000050/*.distcp      weights, buffers and optimizer states, a file a rank

Every tensor has the name of its parameter, so that a run may go on with more or fewer ranks than it began with.
"""

import contextlib
import json
import math
import shutil
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load as load_state
from torch.distributed.checkpoint.state_dict_saver import async_save

from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError
from afterbase.core.store import write_atomically
from afterbase.model.parallel import whole_state

# DCP warns a process that works alone that it works alone.
warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized", UserWarning)


@dataclass
class Exports:
    """Model folders beside the checkpoints: `write` makes one from a whole state on the CPU, in a thread."""

    folder: Path
    write: Callable[[Path, Mapping[str, Tensor]], None]


class Checkpoints:
    """Checkpoints of one loop in one folder: the latest `keep`, and the one with the best score where there are any."""

    def __init__(
        self,
        folder: Path,
        modules: nn.ModuleDict,
        optimizer: torch.optim.Optimizer,
        *,
        keep: int = 1,
        exports: Exports | None = None,
    ) -> None:
        self._folder = folder
        self._modules = modules
        self._optimizer = optimizer
        self._keep = keep
        self._exports = exports
        self._thread = ThreadPoolExecutor(1, "export")
        self._writing: list[Future[object]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._refuse_small_disk()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """What is being written becomes whole, also where training stops for an error."""
        if kind is None:
            self.settle()
            return
        for writing in self._writing:
            # The error that stops the training is the news. (DCP's own exception is no `Exception`.)
            with contextlib.suppress(Exception, CheckpointException):
                writing.result()

    def save(self, step: int, state: dict[str, Any], *, score: float | None = None) -> None:
        """Write all after `step` finished steps; training may go on meanwhile. `score`: the smaller, the better.

        `state` is what the loop wants back beside the weights, as JSON.

        Raises UserError, before anything is written, where the disk has no room for it.
        """
        self.settle()
        self._refuse_small_disk()
        tensors = self._tensors()
        folder = self._folder / checkpoint_name(step)
        if ranks.rank() == 0:
            _remove(folder)
            folder.mkdir(parents=True)
            write_atomically(folder / "state.json", json.dumps({"score": score, "state": state}).encode())
        ranks.barrier()
        writing = async_save(tensors, checkpoint_id=folder, process_group=ranks.background(), no_dist=ranks.size() == 1)
        self._writing.append(cast("Future[object]", writing))
        self._export(folder.name)

    def _export(self, name: str) -> None:
        if self._exports is not None:
            state = whole_state(self._modules, copy=True)
            if ranks.rank() == 0:
                self._writing.append(self._thread.submit(_write_export, self._exports, name, state))

    def settle(self) -> None:
        """Wait until the checkpoint that is being written is whole; then delete those that need not be kept."""
        while self._writing:
            try:
                self._writing.pop().result()
            except CheckpointException as error:
                raise UserError(
                    "a checkpoint is written whole before the next one begins",
                    got=" ".join(str(error).split()),
                    remedy=f"look at {self._folder} and its disk; training goes on from the last whole checkpoint",
                ) from error
        ranks.barrier()
        if ranks.rank() == 0:
            kept = {folder.name for folder in self.kept()}
            for place in (self._folder, self._exports.folder) if self._exports else (self._folder,):
                for folder in place.glob("step-*/"):
                    if folder.name not in kept:
                        _remove(folder)
            if self._exports and kept:
                scores = {folder.name: _read(folder)["score"] for folder in self.kept()}
                write_atomically(self._exports.folder / "scores.json", (json.dumps(scores, indent=1) + "\n").encode())

    def kept(self) -> list[Path]:
        """Whole checkpoints that stay, in the order of their steps."""
        whole = _whole(self._folder)
        scores = {folder: _read(folder)["score"] for folder in whole}
        scored = [folder for folder in whole if scores[folder] is not None and math.isfinite(scores[folder])]
        best = [min(scored, key=lambda folder: scores[folder])] if scored else []
        return sorted({*whole[-self._keep :], *best})

    def load(self) -> tuple[int, dict[str, Any]]:
        """Restore the latest whole checkpoint; returns finished steps and `state`, (0, {}) if there is none.

        Its model folder is written again, where the process ended before it was whole.

        Raises UserError for a checkpoint of another model.
        """
        whole = _whole(self._folder)
        if not whole:
            return 0, {}
        folder = whole[-1]
        stored = FileSystemReader(folder).read_metadata().state_dict_metadata
        weights = self._weights()
        refuse_another_model(folder, {n: tuple(cast(Any, m).size) for n, m in stored.items()}, weights)
        target = dict(weights)
        for name, parameter in self._parameters().items():
            moments = [key for key in stored if key.startswith(f"optimizer.{name}//")]
            for key in moments:
                kind = key.rpartition("//")[2]
                value = step_counter(self._optimizer, parameter) if kind == "step" else torch.zeros_like(parameter)
                self._optimizer.state[parameter][kind] = target[key] = value.detach()
        load_state(target, checkpoint_id=folder, process_group=ranks.background(), no_dist=ranks.size() == 1)
        if self._exports is not None and not (self._exports.folder / folder.name).is_dir():
            self._export(folder.name)
        return int(folder.name.removeprefix("step-")), _read(folder)["state"]

    def restore(self, step: int) -> None:
        """The weights as they were after `step` finished steps, of a checkpoint that is still kept."""
        self.settle()
        folder = self._folder / checkpoint_name(step)
        load_state(self._weights(), checkpoint_id=folder, process_group=ranks.background(), no_dist=ranks.size() == 1)

    def _refuse_small_disk(self) -> None:
        """UserError, on all ranks, where the first one's disk cannot take a checkpoint of all, and a tenth more.

        It holds the weights, two moments of those that the optimizer has, and the model folder.
        """
        weights, trained = (
            sum(p.numel() * p.element_size() for p in parameters)
            for parameters in (self._modules.parameters(), self._parameters().values())
        )
        size = weights + 2 * trained + (weights if self._exports else 0)
        free = shutil.disk_usage(self._folder).free
        if ranks.totals(float(ranks.rank() == 0 and free < 1.1 * size))[0]:
            raise UserError(
                f"the next checkpoint takes {size / 2**30:.2f} GiB of disk, and a tenth to spare",
                got=f"{free / 2**30:.2f} GiB free in {self._folder}",
                remedy="free some space and run again; training goes on from the last checkpoint",
            )

    def _tensors(self) -> dict[str, Tensor]:
        tensors = dict(self._weights())
        for name, parameter in self._parameters().items():
            for kind, value in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{name}//{kind}"] = value
        return tensors

    def _weights(self) -> dict[str, Tensor]:
        """Parameters, tied ones once, and buffers that are part of the model's state."""
        stateful = self._modules.state_dict(keep_vars=True)
        named = [*self._modules.named_parameters(), *self._modules.named_buffers()]
        return {f"weight.{name}": tensor.detach() for name, tensor in named if name in stateful}

    def _parameters(self) -> dict[str, nn.Parameter]:
        """Those that the optimizer has, by name."""
        trained = {id(p) for group in self._optimizer.param_groups for p in group["params"]}
        return {name: p for name, p in self._modules.named_parameters() if id(p) in trained}


def checkpoint_name(step: int) -> str:
    """Of the folder after so many finished steps."""
    return f"step-{step:08d}"


def step_counter(optimizer: torch.optim.Optimizer, parameter: Tensor) -> Tensor:
    """A zero for the number of steps, where AdamW keeps it: beside the parameter if its update is one kernel."""
    group = next(g for g in optimizer.param_groups if any(parameter is p for p in g["params"]))
    beside = group.get("fused") or group.get("capturable")
    return torch.zeros((), dtype=torch.float32, device=parameter.device if beside else "cpu")


def refuse_another_model(folder: Path, stored: dict[str, tuple[int, ...]], weights: dict[str, Tensor]) -> None:
    """UserError unless a checkpoint's weights have the names and shapes of the model's."""
    there = {name: size for name, size in stored.items() if name.startswith("weight.")}
    here = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if there == here:
        return
    name = min(there.items() ^ here.items())[0]
    raise UserError(
        "training goes on from a checkpoint of the same model",
        got=f"`{name.removeprefix('weight.')}` of shape {there.get(name)} in {folder} and {here.get(name)} here",
        remedy="delete the folder to train from the start",
    )


def _write_export(exports: Exports, name: str, state: Mapping[str, Tensor]) -> None:
    part = exports.folder / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    exports.write(part, state)
    shutil.rmtree(exports.folder / name, ignore_errors=True)
    part.rename(exports.folder / name)


def _whole(folder: Path) -> list[Path]:
    """Checkpoints that were written to their end and are not half deleted, in the order of their steps."""
    return sorted(path.parent for path in folder.glob("step-*/.metadata") if (path.parent / "state.json").is_file())


def _remove(folder: Path) -> None:
    """Delete a checkpoint, its mark first: where this is interrupted, what is left counts for nothing."""
    (folder / ".metadata").unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def _read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "state.json").read_text())
