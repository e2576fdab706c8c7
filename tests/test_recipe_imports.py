"""A recipe is checked before anything heavy is imported."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "reasoning_gym", "fastapi", "scipy")


@pytest.mark.parametrize("module", ["afterbase", "afterbase.recipe", "afterbase.cli.main"])
def test_recipes_and_commands_are_known_without_what_trains(module):
    found = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True).stdout == "\n"
