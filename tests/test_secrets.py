"""A secret that a run is given comes out nowhere: not on the terminal, not in any file that is written."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from loopback import served

CANARY = "c4nary-9f83ab-0d"
RECIPE = Path(__file__).parents[1] / "recipes" / "teacher.toml"


@pytest.fixture
def echo() -> Iterator[str]:
    """An endpoint that repeats the token that it was shown, as some do."""
    app = FastAPI()

    @app.api_route("/v1/{path:path}", methods=["GET", "POST"])
    async def refuse(request: Request, path: str) -> JSONResponse:
        shown = request.headers.get("authorization", "")
        said = f"Incorrect API key provided: {shown.removeprefix('Bearer ')}"
        return JSONResponse({"error": {"message": said, "path": path}}, status_code=401)

    with served(app) as url:
        yield url


def run(folder: Path, recipe: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "recipe.toml").write_text(recipe)
    command = [sys.executable, "-m", "afterbase", "run", "recipe.toml", "--root", "out"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, **environment}
    )


def written(folder: Path) -> str:
    """All that is in the files that a run made."""
    files = [path for path in (folder / "out").rglob("*") if path.is_file()]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


def test_a_token_that_an_endpoint_repeats_is_masked(tmp_path: Path, echo: str) -> None:
    recipe = _with_endpoint(f"{echo}/v1", "AN_ODD_NAME")
    ended = run(tmp_path, recipe, AN_ODD_NAME=CANARY)
    assert ended.returncode == 2
    assert "Incorrect API key provided" in ended.stderr, "what the endpoint said is told"
    assert CANARY not in ended.stdout + ended.stderr + written(tmp_path)


@pytest.mark.parametrize(
    ("address", "variable"),
    [
        (f"http://user:{CANARY}@127.0.0.1:9/v1", "A_TOKEN"),
        pytest.param(f"http://127.0.0.1:9/v1?api_key={CANARY}", "A_TOKEN", marks=pytest.mark.slow),
        pytest.param("http://127.0.0.1:9/v1", f"sk-{CANARY}", marks=pytest.mark.slow),
    ],
)
def test_a_secret_in_a_recipe_is_not_repeated(tmp_path: Path, address: str, variable: str) -> None:
    ended = run(tmp_path, _with_endpoint(address, variable), A_TOKEN="irrelevant")
    assert ended.returncode == 2, ended.stderr
    assert CANARY not in ended.stdout + ended.stderr + written(tmp_path)


def _with_endpoint(url: str, variable: str) -> str:
    """The shipped recipe of a teacher, with another endpoint."""
    lines = []
    for line in RECIPE.read_text().splitlines():
        name = line.partition("=")[0].strip()
        if name == "url":
            lines += [f"url = {json.dumps(url)}", f"token_variable = {json.dumps(variable)}"]
        elif name != "token_variable":
            lines.append(line)
    return "\n".join(lines) + f"\n# a comment: postgresql://user:{CANARY}@host/db\n"
