"""A wheel is held against the checkout, file by file."""

import importlib.util
import zipfile
from pathlib import Path

import pytest

from afterbase.recipe import shipped_recipe

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("check_wheel", ROOT / "tools/check_wheel.py")
assert SPEC is not None
assert SPEC.loader is not None
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

HELD = {
    "afterbase/__init__.py": "1",
    "afterbase/model/tiny-v3/model.safetensors": "weights",
    "afterbase/recipes/quickstart.toml": "a",
    "afterbase/recipes/smoke.toml": "b",
    "afterbase-1.dist-info/METADATA": "",
    "afterbase-1.dist-info/licenses/LICENSE": "",
}


@pytest.fixture
def root(tmp_path):
    for name, text in HELD.items():
        if ".dist-info" not in name:
            place = name.removeprefix("afterbase/") if "recipes" in name else f"src/{name}"
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place).write_text(text)
    (tmp_path / "src/afterbase/__pycache__").mkdir()
    (tmp_path / "src/afterbase/__pycache__/x.pyc").touch()
    return tmp_path


def wheel(root: Path, held: dict[str, str]) -> Path:
    path = root / "a.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in held.items():
            archive.writestr(name, text)
    return path


def test_a_whole_wheel_has_no_differences(root):
    assert tool.differences(wheel(root, HELD), root) == []


def test_what_is_missing_strange_or_changed_is_told(root):
    held = {**HELD, "afterbase/__init__.py": "2", "tests/conftest.py": ""}
    for name in ("afterbase/model/tiny-v3/model.safetensors", "afterbase/recipes/smoke.toml"):
        del held[name]
    del held["afterbase-1.dist-info/licenses/LICENSE"]
    assert tool.differences(wheel(root, held), root) == [
        "missing: afterbase/model/tiny-v3/model.safetensors",
        "missing: afterbase/recipes/smoke.toml",
        "not of the package: tests/conftest.py",
        "missing: LICENSE",
        "other bytes: afterbase/__init__.py",
    ]


def test_the_checkout_has_the_recipes_that_it_asks_for():
    assert all(shipped_recipe(name).is_file() for name in tool.RECIPES)
    assert {"afterbase/model/tiny-v3/model.safetensors", "afterbase/report/report.html.j2"} <= tool.wanted(ROOT)
