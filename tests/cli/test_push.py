"""`afterbase push` against a hub on loopback, as a command: its environment is read when it starts."""

import os
import subprocess
import sys

from hub_server import TOKEN, running


def test_a_folder_goes_up_and_comes_down_by_its_name(tmp_path, toy_folder):
    (toy_folder / "README.md").write_text("---\ntags: [a]\n---\n# Mine\n")
    with running() as hub:
        environment = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_TOKEN")} | {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
        }

        def afterbase(*arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
            command = [sys.executable, "-m", "afterbase", *arguments]
            return subprocess.run(
                command, env=environment, input=given, cwd=tmp_path, capture_output=True, text=True, timeout=120
            )

        refused = afterbase("push", str(toy_folder), "org/mine")
        assert refused.returncode == 2
        assert "--licence" in refused.stderr
        assert hub.files == {}
        pushed = afterbase("push", str(toy_folder), "org/mine", "--licence", "mit")
        assert (pushed.returncode, pushed.stdout) == (0, f"{hub.url}/org/mine\n")
        assert hub.private["models/org/mine"]
        talked = afterbase("chat", "hub:org/mine", "--max-tokens", "3", "--temperature", "0", given="1+1?\n")
        assert talked.returncode == 0, talked.stderr
        assert talked.stdout
        assert TOKEN not in pushed.stderr + talked.stderr + refused.stderr
