"""The command line: what it offers is frozen, it starts at once, and mistakes end in one message and status 2."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from safetensors import SafetensorError

from afterbase import __version__
from afterbase.cli import main as cli
from afterbase.core.errors import UserError, Waiting
from afterbase.recipe import shipped_recipe

HEAVY = (
    "torch",
    "transformers",
    "pyarrow",
    "numpy",
    "sympy",
    "reasoning_gym",
    "fastapi",
    "uvicorn",
    "httpx",
    "sqlalchemy",
    "nltk",
)


JOB = (
    "--adapter", "--chat-template", "--device", "--eval", "--eval-every", "--json", "--licence", "--lora", "--out",
    "--push", "--recipe", "--root", "--seed", "--set", "--template-args",
)  # fmt: skip


def _call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """The exit status of `afterbase ARGUMENTS`, run in this process."""
    monkeypatch.setattr(sys, "argv", ["afterbase", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code is None or isinstance(end.value.code, int)
    return end.value.code or 0


def _run_that_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def run(path: Path, root: Path) -> None:
        raise error

    monkeypatch.setattr("afterbase.cli.start_run.run", run)
    return _call(monkeypatch, "run", "recipe.toml")


def _commands(group, before: str = ""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def test_commands_and_options_are_these_and_no_others():
    offered = {}
    for name, command in _commands(typer.main.get_command(cli.app)):
        shown = [p for p in command.params if not getattr(p, "hidden", False)]
        names = [p.opts if p.opts[0].startswith("-") else [p.metavar] for p in shown]
        offered[name] = sorted(option for spellings in names for option in spellings)
    assert offered == {
        "demo": ["--out", "--root", "RECIPE"],
        "sft": sorted([*JOB, "--trained", "DATA...", "MODEL"]),
        "dpo": sorted([*JOB, "--loss", "DATA...", "MODEL"]),
        "kto": sorted([*JOB, "DATA...", "MODEL"]),
        "reward": sorted([*JOB, "DATA...", "MODEL"]),
        "grpo": sorted([*JOB, "--reward", "MODEL", "PROBLEMS"]),
        "distill": sorted([*JOB, "--teacher", "--trained", "DATA...", "STUDENT"]),
        "init": ["--data", "--kind", "--model", "--out"],
        "run": ["--root", "RECIPE"],
        "plan": ["--root", "RECIPE"],
        "show": ["--json", "--root", "RUN"],
        "trace": ["--root", "ID"],
        "serve": ["--host", "--max-rows", "--name", "--port", "--token", "--token-budget", "MODEL"],
        "chat": ["--max-tokens", "--seed", "--system", "--temperature", "MODEL"],
        "push": ["--licence", "--public", "FOLDER", "ORG/NAME"],
        "review": ["--adjudicator", "--host", "--name", "--port", "--reviewer", "--root", "--withdraw", "RUN"],
        "serve-rollouts": ["--dtype", "--env", "--host", "--name", "--port", "--prepare", "MODEL"],
        "eval model": [
            *("--budgets", "--columns", "--data", "--json", "--judge", "--judge-token-variable", "--limit"),
            *("--max-new-tokens", "--out", "--plain", "--runs", "--seed", "--tasks", "--temperatures"),
            *("--token-variable", "--trained-on", "--twins", "--verifier", "MODEL"),
        ],
        "eval judged": [
            *("--baseline", "--data", "--json", "--judge", "--judge-tokens", "--limit", "--max-new-tokens", "--out"),
            *("--tasks", "--votes", "MODEL..."),
        ],
        "eval compare": ["--json", "A", "B"],
        "verify drop": ["--json", "FILE"],
        "serve-sandbox": ["--host", "--name", "--port", "--token"],
        "verify maths": ["--json", "FILE"],
        "verify ifeval": ["--json", "FILE"],
        "verify language": ["--json", "FILE"],
        "verify answers": ["--json", "FILE"],
        "verify audit": ["--columns", "--json", "--verifier", "FILE"],
        "verify code": ["--json", "--unsafe", "FILE"],
        "score reward": ["--json", "--out", "FILE", "REWARD_MODEL"],
        "score arena-hard": ["--category", "--json", "--style", "--verdicts", "--version", "FILE"],
        "score reward-bench": ["--json", "--k", "--metrics", "FILE"],
        "score reward-bench-2": ["--json", "FILE"],
        "score alpaca-eval": ["--C", "--difficulty", "--folds", "--json", "--regulariser", "MODEL..."],
        "data clean": ["--against", "--config", "--domain", "--out", "--preview", "FILE..."],
        "data preview": [
            *("--chat-template", "--columns", "--form", "--json", "--model", "--template-args", "--trained", "FILE..."),
        ],
        "data hash": ["--field", "--n", "--name", "--out", "FILE"],
        "data export": ["--domain", "--to", "FILE", "OUT"],
    }


def test_the_page_of_commands_has_every_command_in_its_group_of_the_help():
    page = (Path(__file__).parents[2] / "docs/commands.md").read_text()
    parts = re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", page, flags=re.MULTILINE)
    listed = {title: set(re.findall(r"^\| `afterbase ([\w-]+)", part, flags=re.MULTILINE)) for title, part in parts}
    shown: dict[str, set[str]] = {}
    for name, command in typer.main.get_command(cli.app).commands.items():  # type: ignore[attr-defined]
        shown.setdefault(command.rich_help_panel, set()).add(name)
    assert {title: names for title, names in listed.items() if names} == shown


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["eval", "--help"], ["show", "nothing"]], ids=" ".join
)
def test_help_and_mistakes_are_answered_without_heavy_imports(tmp_path, arguments):
    program = f"""
import sys
from afterbase.cli.main import main
try:
    main()
finally:
    print("imported:", *sorted(set({HEAVY!r}) & sys.modules.keys()), file=sys.stderr)
"""
    command = [sys.executable, "-c", program, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert answer.stderr.splitlines()[-1] == "imported:"
    assert answer.stdout + answer.stderr != "imported:\n"


@pytest.mark.parametrize(
    ("arguments", "rule", "remedy"),
    [
        (["run", "nowhere.toml"], "nowhere.toml must be a file", ""),
        (["plan", "nowhere.toml"], "nowhere.toml must be a file", ""),
        (["show", "nothing"], "`show` takes the name of a finished run", "run a recipe first"),
        (["trace", "0123456789abcdef"], "`trace` takes the id of", "run a recipe first"),
        (["serve", "nowhere"], "a model is a shipped name or a Hugging Face folder", "use tiny-v3, or the path"),
        (["serve", "tiny-v3", "--host", "0.0.0.0"], "a server that others can reach wants a token", "add --token"),
        (["review", "nothing"], "`review` takes the name of a run that people review", "add [review.DOMAIN] to a"),
        (["serve-rollouts", "nowhere", "--env", "x"], "a model is a shipped name or a", "use tiny-v3, or the path"),
    ],
    ids=["run", "plan", "show", "trace", "serve", "serve-openly", "review", "serve-rollouts"],
)
def test_mistake_ends_in_rule_got_and_remedy(tmp_path, monkeypatch, capsys, arguments, rule, remedy):
    monkeypatch.chdir(tmp_path)
    assert _call(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"error: {rule}")
    assert lines[1].startswith("  got:    ")
    assert lines[2].startswith(f"  remedy: {remedy}")
    assert list(tmp_path.iterdir()) == [], "a mistake leaves nothing behind"


@pytest.mark.parametrize("arguments", [["bogus"], ["show"], ["show", "a", "--bogus"], ["run", "a", "b"]], ids=" ".join)
def test_wrong_usage_ends_with_status_2(monkeypatch, capsys, arguments):
    assert _call(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"^Usage: .*afterbase ", err, flags=re.MULTILINE)


def test_unknown_run_is_told_the_finished_ones(tmp_path, monkeypatch, capsys):
    for name in ("second", "first"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "runs" / "unfinished").mkdir()
    assert _call(monkeypatch, "show", "third", "--root", tmp_path) == 2
    assert "remedy: use one of first, second\n" in capsys.readouterr().err


def test_json_holds_what_programs_read_of_the_run(tmp_path, monkeypatch, capsys):
    summary = {"run": "x", "notes": ["left out"], "stages": [], "evaluations": [], "comparisons": [], "machine": {}}
    (tmp_path / "runs/x").mkdir(parents=True)
    (tmp_path / "runs/x/run.json").write_text(json.dumps(summary))
    assert _call(monkeypatch, "show", "x", "--json", "--root", tmp_path) == 0
    assert list(json.loads(capsys.readouterr().out)) == [
        "run", "stages", "evaluations", "comparisons", "model_folder", "unfinished",
    ]  # fmt: skip


def _full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _as_torch_does() -> RuntimeError:
    """An error of its own, raised while it handled the first one."""
    error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")
    error.__context__ = _full_disk()
    return error


@pytest.mark.parametrize(
    "error",
    [
        _full_disk(),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        _as_torch_does(),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["file", "quota", "torch", "safetensors"],
)
def test_full_disk_is_one_clear_message(monkeypatch, capsys, error):
    assert _run_that_raises(monkeypatch, error) == 2
    assert capsys.readouterr().err == (
        "error: the disk is full; nothing finished is lost\n  remedy: free some space and run again\n"
    )


def test_users_error_is_shown_whole(monkeypatch, capsys):
    error = UserError("a rule", got="something", remedy="mend it")
    assert _run_that_raises(monkeypatch, error) == 2
    assert capsys.readouterr().err == "error: a rule\n  got:    something\n  remedy: mend it\n"


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), RuntimeError("a bug of ours")])
def test_other_errors_are_not_hidden(monkeypatch, error):
    with pytest.raises(type(error)):
        _run_that_raises(monkeypatch, error)


def test_a_run_that_waits_says_what_is_next(monkeypatch, capsys):
    waiting = Waiting("people review", got="still missing: 3 drafts", remedy="afterbase review x; then run again")
    assert _run_that_raises(monkeypatch, waiting) == 75
    out, err = capsys.readouterr()
    assert out == "people review\n  still missing: 3 drafts\n  next: afterbase review x; then run again\n"
    assert err == ""


def test_interrupted_run_says_that_it_can_go_on(monkeypatch, capsys):
    assert _run_that_raises(monkeypatch, KeyboardInterrupt()) == 130
    assert "the same command goes on from the last checkpoint" in capsys.readouterr().err


def test_version_is_told(monkeypatch, capsys):
    assert _call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"afterbase {__version__}\n"


@pytest.mark.parametrize("option", ["--root", "--out"])
def test_demo_runs_a_shipped_recipe_in_a_folder(option, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("afterbase.cli.run_recipe.run", lambda path, root: asked.append((path, root)))
    assert _call(monkeypatch, "demo", option, tmp_path) == 0
    assert _call(monkeypatch, "demo", "smoke") == 0
    assert asked == [(shipped_recipe("quickstart"), tmp_path), (shipped_recipe("smoke"), Path())]
