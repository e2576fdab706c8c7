#!/usr/bin/env python3
"""Whether two commits make the same numbers: `.venv/bin/python tools/same_numbers.py COMMIT_A COMMIT_B`.

Both are checked out side by side and run the same commands on this machine, since the last digits differ between
processors. Compared, byte for byte: key and payload digest of every artifact of the recipes in `same_numbers/` (a base;
the whole recipe with DPO, KTO and controls; with a family, a table, an endpoint or a model as teacher, and cleaning; a
scalar reward model and judges with their examination; two steps of RL under every published objective), and the JSON of
`verify`, `score` and `eval` on the reference data. A stub answers as endpoint, by what it is asked.

A refactoring runs it before its first commit and after each big one: a difference is a number that moved. About ten
minutes on two cores. Exit status 0: all equal; 1: something differs, named on a line each; 2: something did not run.

Does not cover: metrics, reports and timing, which are no part of a digest; GPUs and vLLM servers.
"""

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECIPES = HERE / "same_numbers"
DATA = HERE.parent.parent / "shared" / "data"
TASKS = "gsm8k,math500,aime2024,mmlu,mmlu_redux,mmlu_pro,ceval,cluewsc,ifeval,humaneval"
REFUSED = {"recipe judge_trained"}  # ends where the judge is examined: what was made until then is compared

Numbers = dict[str, str]  # what was made, and a hash of it


class FailedError(Exception):
    """A command that ended with an error, which its message holds."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether two commits make the same numbers, byte for byte.")
    parser.add_argument("a", metavar="COMMIT_A", help="the commit before")
    parser.add_argument("b", metavar="COMMIT_B", nargs="?", help="the commit after; without it, COMMIT_A twice")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AFTERBASE_DATA", DATA)))
    parser.add_argument("--only", help="parts whose names begin so, with commas, such as recipe,verify")
    options = parser.parse_args()
    data = options.data.resolve()
    if not data.is_dir():
        parser.error(f"no folder of reference data: {data}; set AFTERBASE_DATA or --data")
    parts = {
        name: command
        for name, command in commands(data).items()
        if options.only is None or name.startswith(tuple(options.only.split(",")))
    }
    if not parts:
        parser.error(f"no part begins with {options.only}; there are {', '.join(commands(data))}")
    try:
        commits = [resolve(options.a), resolve(options.b or options.a)]
        with tempfile.TemporaryDirectory(prefix="same-numbers-") as folder, contextlib.ExitStack() as stack:
            parts = with_endpoint(parts, stack.enter_context(endpoint()), Path(folder))
            sources = [
                stack.enter_context(checkout(commit, Path(folder) / side))
                for side, commit in zip("ab", commits, strict=True)
            ]
            differing = compare(parts, sources, Path(folder))
    except FailedError as failure:
        print(failure, file=sys.stderr)
        return 2
    return 1 if differing else 0


def commands(data: Path) -> dict[str, list[str]]:
    """The parts, each a command line of `afterbase`; a recipe's artifacts are read from its store."""
    recipes = {f"recipe {path.stem}": ["run", str(path), "--root", "ROOT"] for path in sorted(RECIPES.glob("*.toml"))}
    alpaca = [
        *(str(data / "alpaca_eval" / name) for name in ("alpaca-7b.csv.gz", "gemma-7b-it.csv.gz")),
        "--difficulty", str(data / "alpaca_eval/instructions.csv"),
        "--regulariser", str(data / "alpaca_eval/df_gamed_reconstructed.csv.gz"),
    ]  # fmt: skip
    arena, bench = data / "arena_hard", data / "rewardbench"
    answers = str(RECIPES / "answers.jsonl")
    told = {
        "verify maths": ["maths", str(data / "math_equiv/cases.jsonl")],
        "verify maths forms": ["maths", str(data / "peers/maths_forms.jsonl")],
        "verify maths letters": ["maths", str(data / "peers/maths_letters_spaces.jsonl")],
        "verify maths sizes": ["maths", str(data / "peers/maths_sizes.jsonl")],
        "verify ifeval": ["ifeval", str(data / "ifeval/strict_loose_cases.jsonl")],
        "verify ifeval units": ["ifeval", str(data / "ifeval/unit_cases.jsonl")],
        "verify drop": ["drop", str(data / "capability/drop_metric_cases.jsonl")],
        "verify answers": ["answers", answers],
        "verify code": ["code", str(RECIPES / "programs.jsonl")],
        "verify language": ["language", str(HERE.parent / "tests/verify/language/languages.jsonl")],
    }
    scored = {
        "score alpaca-eval": ["alpaca-eval", *alpaca],
        "score arena-hard 0.1": ["arena-hard", str(arena / "v01_battles.csv.gz"), "--version", "0.1"],
        "score arena-hard 2.0": [
            "arena-hard",
            str(arena / "v2_synthetic_judgments.jsonl.gz"),
            "--version",
            "2.0",
            "--category",
            "hard_prompt",
        ],
        "score arena-hard verdicts": [
            "arena-hard",
            "--verdicts",
            str(arena / "verdict_cases.jsonl"),
            "--version",
            "0.1",
        ],
        "score reward-bench": ["reward-bench", str(bench / "votes_k6.jsonl.gz"), "--k", "6"],
        "score reward-bench metrics": ["reward-bench", "--metrics", str(bench / "aggregation_cases.json")],
    }
    evaluated = [
        "eval", "tiny-v3", "--tasks", TASKS, "--data", str(data / "capability"), "--limit", "3",
        "--max-new-tokens", "24", "--out", "ROOT", "--json",
    ]  # fmt: skip
    return (
        recipes
        | {name: ["verify", *line, "--json"] for name, line in told.items()}
        | {name: ["score", *line, "--json"] for name, line in scored.items()}
        | {"eval tiny-v3": evaluated}
    )


def with_endpoint(parts: dict[str, list[str]], url: str, folder: Path) -> dict[str, list[str]]:
    """The parts, their recipes with the address of the stub."""
    out = {}
    for name, (first, *rest) in parts.items():
        if first == "run":
            recipe = folder / Path(rest[0]).name
            recipe.write_text(Path(rest[0]).read_text().replace('"URL"', f'"{url}"'))
            rest[0] = str(recipe)
        out[name] = [first, *rest]
    return out


class Stub(BaseHTTPRequestHandler):
    """An endpoint that adds up the numbers of a problem, and judges by the length of what it is asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._reply({"object": "list", "data": [{"id": "stub", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        marks = re.findall(r"`Verdict (\w+):", text)
        if marks:
            said = f"Fine.\nVerdict {marks[-1]}: {'AB'[len(text) % 2] if 'Answer B' in text else 9 - len(text) % 3}"
        else:
            total = sum(int(number.replace(" ", "")) for number in re.findall(r"(?:[-+] ?)?\d+", text))
            said = f"I add the numbers up, and wait, I check them again. \\boxed{{{total}}}"
        message = {"role": "assistant", "content": said}
        usage = {"prompt_tokens": len(text) // 4, "completion_tokens": len(said) // 4}
        self._reply(
            {
                "id": "stub",
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {**usage, "total_tokens": sum(usage.values())},
            }
        )

    def _reply(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tool's own lines are what is read."""


@contextlib.contextmanager
def endpoint() -> Iterator[str]:
    """The stub's address, up to and including /v1."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def resolve(commit: str) -> str:
    return git("rev-parse", "--verify", f"{commit}^{{commit}}").strip()


@contextlib.contextmanager
def checkout(commit: str, folder: Path) -> Iterator[Path]:
    """The commit's `src`, in a work tree that is gone afterwards."""
    git("worktree", "add", "--detach", str(folder), commit)
    try:
        yield folder / "src"
    finally:
        git("worktree", "remove", "--force", str(folder))


def git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(HERE), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise FailedError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def compare(parts: dict[str, list[str]], sources: list[Path], folder: Path) -> int:
    """Run each part on both sides at once and print what differs; how many parts do."""
    differing = 0
    for name, command in parts.items():
        roots = [folder / f"{name} {side}" for side in "ab"]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            a, b = pool.map(numbers, [name] * 2, [command] * 2, sources, roots)
        unequal = [what for what in sorted(a.keys() | b.keys()) if a.get(what) != b.get(what)]
        differing += bool(unequal)
        print(
            f"{name}: {len(a)} of A, {len(b)} of B, {'all equal' if not unequal else f'{len(unequal)} differ'}",
            flush=True,
        )
        for what in unequal:
            print(f"  {what}: {a.get(what, 'not there')[:16]} | {b.get(what, 'not there')[:16]}", flush=True)
    print(f"{differing} of {len(parts)} parts differ")
    return differing


def numbers(name: str, command: list[str], source: Path, root: Path) -> Numbers:
    """What one part makes with the sources of one commit."""
    root.mkdir()
    line = [str(root) if word == "ROOT" else word for word in command]
    environment = {**os.environ, "PYTHONPATH": str(source), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "afterbase", *line], cwd=RECIPES, env=environment, capture_output=True, text=True
    )
    if bool(done.returncode) != (name in REFUSED):
        raise FailedError(f"{name} failed with {source}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return artifacts(root / "store") if name.startswith("recipe ") else leaves(json.loads(done.stdout))


def artifacts(store: Path) -> Numbers:
    """The payload digests of all artifacts by their names, and their keys: a dropped setting moves a key alone."""
    out: dict[str, list[str]] = {}
    for path in sorted(store.glob("*/manifest.json")):
        manifest = json.loads(path.read_text())
        out.setdefault(manifest["name"], []).append(manifest["digest"])
        out.setdefault(f"key of {manifest['name']}", []).append(path.parent.name)
    return {name: " ".join(sorted(values)) for name, values in out.items()}


def leaves(told: object, at: str = "") -> Numbers:
    """Every value of a JSON document, by its path in it; hashed, since some are long texts."""
    if isinstance(told, dict | list) and told:
        items = told.items() if isinstance(told, dict) else enumerate(told)
        return {path: value for key, inner in items for path, value in leaves(inner, f"{at}/{key}").items()}
    return {at: hashlib.sha256(json.dumps(told).encode()).hexdigest()}


if __name__ == "__main__":
    sys.exit(main())
