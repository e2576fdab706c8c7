"""Checkpoints: the same trajectory after a restart, what is kept, what is refused, and what a kill leaves behind."""

import errno
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystemWriter

from afterbase.core.errors import UserError
from afterbase.model.checkpoint import Checkpoints, Exports, step_counter


def toy_modules(width: int = 4) -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"trunk": nn.Sequential(nn.Linear(3, width), nn.RMSNorm(width), nn.Linear(width, 1)).double()})


def adamw(modules: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(modules.parameters(), lr=0.1)


def steps(modules: nn.ModuleDict, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        modules["trunk"](torch.full((2, 3), step + 1.0).double()).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("step-*"))


def test_the_trajectory_is_the_same_after_a_restart(tmp_path):
    """The checkpoint is that of its moment, though training goes on while it is written."""
    whole = toy_modules()
    optimizer = adamw(whole)
    with Checkpoints(tmp_path, whole, optimizer) as checkpoints:
        steps(whole, optimizer, 0, 3)
        checkpoints.save(3, {"note": "ä", "nothing": None})
        steps(whole, optimizer, 3, 6)

    other = toy_modules()
    again = adamw(other)
    assert Checkpoints(tmp_path, other, again).load() == (3, {"note": "ä", "nothing": None})
    steps(other, again, 3, 6)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), other.parameters(), strict=True))
    for mine, its in zip(optimizer.state.values(), again.state.values(), strict=True):
        assert mine.keys() == its.keys()
        assert all(torch.equal(mine[key], its[key]) for key in mine)


@pytest.mark.parametrize(("fused", "device"), [(True, "meta"), (False, "cpu")])
def test_the_number_of_steps_lies_where_the_optimizer_looks_for_it(fused, device):
    """One kernel that updates all weights reads it on their device; other updates read it on the CPU."""
    parameter = nn.Parameter(torch.zeros(2, device="meta"))
    optimizer = torch.optim.AdamW([parameter])
    optimizer.param_groups[0]["fused"] = fused
    assert step_counter(optimizer, parameter).device.type == device


def test_buffers_and_tied_weights_come_back(toy_lm, tmp_path):
    """Router biases are no parameters, and training moves them; a parameter without a gradient has no moments."""
    modules = toy_lm.modules()
    toy_lm.model.lm_head.weight = toy_lm.model.model.embed_tokens.weight
    bias = toy_lm.mtp.block.mlp.gate.e_score_correction_bias
    bias.fill_(0.5)
    with Checkpoints(tmp_path, modules, adamw(modules)) as checkpoints:
        checkpoints.save(1, {})
    before = toy_lm.model.lm_head.weight.detach().clone()
    bias.zero_()
    toy_lm.model.lm_head.weight.data.zero_()
    Checkpoints(tmp_path, modules, adamw(modules)).load()
    assert (bias == 0.5).all()
    assert torch.equal(toy_lm.model.model.embed_tokens.weight, before)


def test_the_newest_whole_checkpoint_counts(tmp_path):
    modules = toy_modules()
    checkpoints = Checkpoints(tmp_path, modules, adamw(modules))
    assert checkpoints.load() == (0, {})
    checkpoints.save(1, {"at": 1})
    checkpoints.save(2, {"at": 2})
    checkpoints.settle()
    assert saved(tmp_path) == ["step-00000002"]
    shutil.copytree(tmp_path / "step-00000002", tmp_path / "step-00000003")
    (tmp_path / "step-00000003" / ".metadata").unlink()  # killed while it was written
    assert checkpoints.load() == (2, {"at": 2})
    checkpoints.save(3, {"at": 3})
    checkpoints.settle()
    assert checkpoints.load() == (3, {"at": 3})


def test_a_checkpoint_whose_deletion_was_interrupted_counts_for_nothing(tmp_path, monkeypatch):
    modules = toy_modules()
    checkpoints = Checkpoints(tmp_path, modules, adamw(modules))
    checkpoints.save(2, {"at": 2})
    checkpoints.settle()
    older = tmp_path / "step-00000001"
    shutil.copytree(tmp_path / "step-00000002", older)

    def interrupted(folder):
        (folder / "state.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.settle()
    assert [path.name for path in older.iterdir()] == ["__0_0.distcp"]
    (older / ".metadata").write_bytes(b"")  # as where files were deleted in any order
    assert checkpoints.load() == (2, {"at": 2})
    checkpoints.settle()
    assert saved(tmp_path) == ["step-00000002"]


def test_the_latest_and_the_best_stay(tmp_path):
    modules = toy_modules()
    checkpoints = Checkpoints(tmp_path, modules, adamw(modules), keep=2)
    for step, score in enumerate((float("nan"), 0.2, 0.9, 0.4, 0.3), start=1):
        checkpoints.save(step, {}, score=score)
    checkpoints.settle()
    assert saved(tmp_path) == ["step-00000002", "step-00000004", "step-00000005"]


def test_each_kept_checkpoint_is_a_folder_of_whole_weights_too(tmp_path):
    def write(folder: Path, state: Mapping[str, Tensor]) -> None:
        save_file(dict(state), folder / "weights.safetensors")

    modules = toy_modules()
    optimizer = adamw(modules)
    exports = Exports(tmp_path / "exports", write)
    expected = []
    with Checkpoints(tmp_path / "resume", modules, optimizer, keep=2, exports=exports) as checkpoints:
        for step in range(3):
            steps(modules, optimizer, step, step + 1)
            expected.append({name: t.clone() for name, t in modules.state_dict().items()})
            checkpoints.save(step + 1, {})
    assert saved(tmp_path / "exports") == saved(tmp_path / "resume") == ["step-00000002", "step-00000003"]
    for step in (2, 3):
        weights = load_file(tmp_path / f"exports/step-{step:08d}/weights.safetensors")
        assert all(torch.equal(weights[name], t) for name, t in expected[step - 1].items())


def test_a_model_folder_that_a_kill_prevented_is_written_after_all(tmp_path):
    def write(folder: Path, state: Mapping[str, Tensor]) -> None:
        save_file(dict(state), folder / "weights.safetensors")

    modules = toy_modules()
    exports = Exports(tmp_path / "exports", write)
    with Checkpoints(tmp_path / "resume", modules, adamw(modules), exports=exports) as checkpoints:
        checkpoints.save(1, {}, score=0.5)
    shutil.rmtree(tmp_path / "exports")
    other = toy_modules()
    nn.init.zeros_(next(other.parameters()))
    with Checkpoints(tmp_path / "resume", other, adamw(other), exports=exports) as checkpoints:
        assert checkpoints.load()[0] == 1
    weights = load_file(tmp_path / "exports/step-00000001/weights.safetensors")
    assert all(torch.equal(weights[name], t) for name, t in modules.state_dict().items())
    assert json.loads((tmp_path / "exports/scores.json").read_text()) == {"step-00000001": 0.5}


def test_a_checkpoint_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    modules = toy_modules()
    checkpoints = Checkpoints(tmp_path, modules, adamw(modules))
    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr(FileSystemWriter, "write_data", full)
    checkpoints.save(1, {})
    with pytest.raises(UserError, match="written whole") as raised:
        checkpoints.settle()
    assert "No space left" in raised.value.got


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    modules = toy_modules()
    with Checkpoints(tmp_path, modules, adamw(modules)) as checkpoints:
        checkpoints.save(1, {})
    wider = toy_modules(width=5)
    with pytest.raises(UserError, match="same model") as raised:
        Checkpoints(tmp_path, wider, adamw(wider)).load()
    assert "trunk.0" in raised.value.got
    assert "(4,)" in raised.value.got


class Usage(NamedTuple):
    free: int


def test_a_full_disk_is_found_before_anything_is_written(tmp_path, monkeypatch):
    modules = toy_modules()
    checkpoints = Checkpoints(tmp_path, modules, adamw(modules))
    checkpoints.save(1, {})
    checkpoints.settle()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(free=100))
    with pytest.raises(UserError, match="disk"):
        checkpoints.save(2, {})
    with pytest.raises(UserError, match="disk"):
        Checkpoints(tmp_path, modules, adamw(modules))
    assert saved(tmp_path) == ["step-00000001"]
    assert checkpoints.load() == (1, {})
