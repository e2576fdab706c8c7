"""The comparison of two commits: what it takes for a number, and that it tells when one has moved."""

import importlib.util
import json
import re
import sys
import urllib.request
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "tools/same_numbers.py"
spec = importlib.util.spec_from_file_location("same_numbers", FILE)
assert spec is not None
assert spec.loader is not None
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def test_every_value_of_a_document_is_a_number_of_its_own():
    a = tool.leaves({"n": 2, "results": [{"id": 1, "value": 0.5}, {"id": 2, "value": []}]})
    assert list(a) == ["/n", "/results/0/id", "/results/0/value", "/results/1/id", "/results/1/value"]
    b = tool.leaves({"n": 2, "results": [{"id": 1, "value": 0.5000001}, {"id": 2, "value": []}]})
    assert [path for path in a if a[path] != b[path]] == ["/results/0/value"]


def test_an_artifact_is_told_by_name_digest_and_key(tmp_path):
    for key, digest in (("abc", "d2"), ("abd", "d1")):
        (tmp_path / key).mkdir()
        (tmp_path / key / "manifest.json").write_text(json.dumps({"name": "SFT", "digest": digest, "seconds": 3}))
    (tmp_path / ".work").mkdir()
    assert tool.artifacts(tmp_path) == {"SFT": "d1 d2", "key of SFT": "abc abd"}


PROGRAM = """
import json, pathlib, sys
root = pathlib.Path(sys.argv[sys.argv.index("--root") + 1])
(root / "store/key").mkdir(parents=True)
(root / "store/key/manifest.json").write_text(json.dumps({"name": "SFT", "digest": "DIGEST"}))
"""


def source(folder: Path, digest: str, program: str = PROGRAM) -> Path:
    """Sources of an `afterbase` that makes one artifact."""
    package = folder / "afterbase"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(program.replace("DIGEST", digest))
    return folder


def test_a_digest_that_differs_is_named_and_counted(tmp_path, capsys):
    sources = [source(tmp_path / "one", "d1"), source(tmp_path / "two", "d2")]
    parts = {"recipe toy": ["run", "toy.toml", "--root", "ROOT"]}
    assert tool.compare(parts, sources, tmp_path) == 1
    told = capsys.readouterr().out
    assert "recipe toy: 2 of A, 2 of B, 1 differ" in told
    assert "SFT: d1 | d2" in told


def test_equal_ones_are_equal(tmp_path, capsys):
    sources = [source(tmp_path / "one", "d1"), source(tmp_path / "two", "d1")]
    assert tool.compare({"recipe toy": ["run", "toy.toml", "--root", "ROOT"]}, sources, tmp_path) == 0
    assert "all equal" in capsys.readouterr().out


def test_a_part_that_does_not_run_is_no_equality(tmp_path):
    sources = [source(tmp_path / "one", "d1"), source(tmp_path / "two", "", "raise SystemExit('broken')")]
    with pytest.raises(tool.FailedError, match=r"(?s)recipe toy failed with .*two.*broken"):
        tool.compare({"recipe toy": ["run", "toy.toml", "--root", "ROOT"]}, sources, tmp_path)


def test_an_unknown_commit_is_told(monkeypatch, capsys, afterbase_data):
    monkeypatch.setattr(sys, "argv", ["same_numbers.py", "no-such-commit"])
    assert tool.main() == 2
    assert "no-such-commit" in capsys.readouterr().err


def test_the_stub_says_the_same_of_the_same_question():
    with tool.endpoint() as url:

        def said(text: str) -> str:
            body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
            with urllib.request.urlopen(f"{url}/chat/completions", body, timeout=30) as reply:
                return json.load(reply)["choices"][0]["message"]["content"]

        assert said("3 + 4 =") == said("3 + 4 =")
        assert "\\boxed{7}" in said("3 + 4 =")
        assert re.search(r"Verdict 17: [789]$", said("End with `Verdict 17: N`"))


@pytest.mark.parametrize("recipe", sorted((FILE.parent / "same_numbers").glob("*.toml")), ids=lambda path: path.stem)
def test_its_recipes_can_be_read(recipe):
    from afterbase.recipe import load_recipe

    assert load_recipe(recipe).name == recipe.stem
