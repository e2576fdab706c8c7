"""The page of recipes' keys is what the code says, and the code says something of each key."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from afterbase.core.config import Config
from afterbase.recipe.load_recipe import KINDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe_reference", ROOT / "tools/recipe_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says(reference):
    assert reference.PAGE.read_text() == reference.page(), "run tools/recipe_reference.py"


def test_every_key_of_every_kind_is_described(reference):
    places: dict[type[Config], list[str]] = {}
    for kind, model in KINDS.items():
        reference._find(model, kind, "", places)
    models = [*KINDS.values(), *places]
    silent = [f"{m.__name__}.{name}" for m in models for name, field in m.model_fields.items() if not field.description]
    assert silent == []


def test_every_key_stands_on_the_page_with_its_type_and_default(reference):
    text = reference.page()
    assert re.search(r"^- `betas`: an array of 2 numbers; default `\[0.9, 0.95\]`\.", text, re.MULTILINE)
    assert re.search(r"^- `processes`: whole number, 1 or more; default `1`; \*how\*\.", text, re.MULTILINE)
    assert re.search(r"^- `learning_rate`: number, above 0; \*required\*\.", text, re.MULTILINE)
    for model in KINDS.values():
        for name in model.model_fields:
            assert f"\n- `{name}`: " in text
