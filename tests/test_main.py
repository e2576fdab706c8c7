"""`python -m afterbase` is the same program as the script."""

import subprocess
import sys


def test_the_module_is_the_program(tmp_path):
    command = [sys.executable, "-m", "afterbase", "show", "nothing", "--root", tmp_path]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "`show` takes the name of a finished run" in answer.stderr
