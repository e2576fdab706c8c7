"""Lineage in a small store that is written by hand: a problem, a teacher, a model, a curated sample, an answer."""

import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from afterbase.core.errors import UserError
from afterbase.core.sample import Drop, Problem, Sample, Status, Verdict, conversation, write_problems, write_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.report.trace import trace
from hostile import NAME, ON_ONE_LINE

PROBLEM = Problem(domain="code", prompt="Write f.", gold=None, verifier="python", spec={})
RIGHT = Verdict(verifier="python", status=Status.OK, value=1.0, reason="match")
# What rich would take for markup, for an emoji and for the end of a style, in a model's words.
TEXT = "return xs[i] + xs[bold] [/red] :smile:"
ANSWER = {
    "id": "a" * 16, "checkpoint": "SFT", "decoding": "greedy", "system_prompt": False, "text": TEXT, "status": "wrong",
    "reason": "crash", "tokens": 9, "problem_id": PROBLEM.id, "domain": "code", "prompt": PROBLEM.prompt,
}  # fmt: skip


def _sample(text: str, kind: str, producer: dict[str, Any], **more: Any) -> Sample:
    return Sample(
        messages=conversation(PROBLEM.prompt, text),
        domain="code", kind=kind, problem_id=PROBLEM.id, producer=producer, verdicts=[RIGHT], **more,
    )  # fmt: skip


DRAFTS = [_sample(f"draft {i}", "reflective", {"name": "procedural teacher, reflective"}) for i in range(5)]
CURATED = _sample(TEXT, "curated", {"name": "model", "checkpoint": "c" * 64})
LONG = _sample("long", "curated", {"name": "model", "checkpoint": "c" * 64})
OPEN = Sample(
    messages=conversation("Hello?", "Hello!"),
    domain="chat", kind="open", problem_id=None, producer={"name": "chat draft generator"}, parents=["d" * 16],
)  # fmt: skip


class Lab:
    """A root with one run, stage by stage."""

    def __init__(self, root: Path) -> None:
        self.store, self.runs = Store(root / "store"), root / "runs"

    def make(self, name: str, stage: str, write: Callable[[Path], Any], **inputs: Artifact) -> Artifact:
        def make(work: Workspace) -> None:
            write(work.payload)

        return self.store.produce(name, stage, 1, what={"name": name}, inputs=inputs, make=make)

    def samples(self, name: str, stage: str, samples: list[Sample], **inputs: Artifact) -> Artifact:
        return self.make(name, stage, lambda folder: write_samples(folder / "samples.parquet", samples), **inputs)

    def finish(self, run: str) -> None:
        """Write `run.json` and forget the stages."""
        stages = [{"key": r.artifact.key, "name": r.name} for r in self.store.stages]
        (self.runs / run).mkdir(parents=True)
        (self.runs / run / "run.json").write_text(json.dumps({"stages": stages}))
        self.store.stages.clear()

    def told(self, identifier: str) -> list[str]:
        out = StringIO()
        Console(file=out, width=1000).print(trace(identifier, store=self.store, runs=self.runs))
        return [line.rstrip() for line in out.getvalue().splitlines()]


def _nothing(folder: Path) -> None:
    pass


@pytest.fixture
def lab(tmp_path) -> Lab:
    lab = Lab(tmp_path)
    base = lab.make("base model", "base", _nothing)
    problems = lab.make("code problems", "problems", lambda f: write_problems(f / "train.parquet", [PROBLEM]))
    drafts = lab.samples("code drafts", "draft", DRAFTS, problems=problems)
    expert = lab.make("code expert", "sft", _nothing, model=base, data=drafts)
    curated = lab.samples("code rejection sampling", "curate", [CURATED, LONG], expert=expert, problems=problems)
    review = lab.samples("chat review", "review", [OPEN])
    mixed = [CURATED, LONG.drop("mix", "too long", 4), OPEN]
    dataset = lab.samples("SFT set", "mix", mixed, set_0=curated, set_1=review)
    sft = lab.make("SFT", "sft", _nothing, model=base, data=dataset)
    answers = pa.Table.from_pylist([ANSWER])
    evaluate = lambda folder: pq.write_table(answers, folder / "answers.parquet")  # noqa: E731
    lab.make("evaluate SFT on code", "evaluate", evaluate, model=sft, problems=problems)
    lab.finish("toy")
    return lab


def _names(lines: list[str]) -> list[str]:
    return [line.lstrip("│├└─ \N{NO-BREAK SPACE}") for line in lines]


def _key(lab: Lab, name: str) -> str:
    keys = {p.parent.name for p in lab.store.root.glob("*/manifest.json") if json.loads(p.read_text())["name"] == name}
    return keys.pop()[:16]


def test_answer_is_followed_to_problem_teacher_and_base(lab):
    lines = _names(lab.told(ANSWER["id"]))
    assert lines[:4] == [
        f"answer {ANSWER['id']}: SFT, greedy",
        f"text: {TEXT!r}",
        "verdict: wrong (crash), 9 tokens",
        f"problem {PROBLEM.id} (code, held out): 'Write f.'",
    ]
    for name, stage in (
        ("evaluate SFT on code", "evaluate"), ("SFT", "sft"), ("SFT set", "mix"), ("code expert", "sft"),
        ("code drafts", "draft"), ("code problems", "problems"), ("base model", "base"), ("chat review", "review"),
    ):  # fmt: skip
        assert f"{name} ({stage}) {_key(lab, name)}" in lines
    assert "1 training problems" in lines


def test_every_artifact_is_unfolded_once(lab):
    lines = _names(lab.told(ANSWER["id"]))
    base = f"base model (base) {_key(lab, 'base model')}"
    assert [line for line in lines if line.startswith("base model")] == [base, f"{base}, see above"]


def test_sources_name_some_of_their_samples(lab):
    line = next(line for line in _names(lab.told(ANSWER["id"])) if "procedural teacher" in line)
    some = ", ".join(f"{sample.id} (problem {PROBLEM.id})" for sample in DRAFTS[:3])
    assert line == f"5 code samples, reflective, by procedural teacher, reflective: {some}, 2 more"


def test_sample_is_followed_from_what_made_it(lab):
    lines = _names(lab.told(CURATED.id))
    assert lines[:8] == [
        f"sample {CURATED.id}: code, curated",
        "user: 'Write f.'",
        f"assistant: {TEXT!r}",
        "verdict of python: ok (match)",
        f"problem {PROBLEM.id} (training split)",
        f'producer: {{"checkpoint": "{"c" * 64}", "name": "model"}}',
        "in code rejection sampling: kept",
        "in SFT set: kept",
    ]
    assert lines[8].startswith("code rejection sampling (curate)")
    assert not [line for line in lines[8:] if line.startswith(("SFT", "chat review"))], "made without them"


def test_sample_tells_where_it_was_dropped(lab):
    lines = _names(lab.told(LONG.id))
    assert "in code rejection sampling: kept" in lines
    assert "in SFT set: dropped by mix: too long" in lines


def test_sample_tells_what_it_was_derived_from(lab):
    lines = _names(lab.told(OPEN.id))
    assert f"derived from {'d' * 16}" in lines
    assert not [line for line in lines if line.startswith("problem")]


def test_dropped_sample_is_found_in_a_set_that_only_dropped_it(lab):
    wrong = _sample("wrong", "curated", {"name": "model"}, dropped=Drop(stage="curate", rule="wrong: crash"))
    lab.samples("more", "curate", [wrong])
    lab.finish("another")
    assert "in more: dropped by curate: wrong: crash" in _names(lab.told(wrong.id))


def test_unknown_id_is_refused_with_one_that_is_known(lab):
    with pytest.raises(UserError, match="takes the id of") as caught:
        lab.told("0" * 16)
    assert "0" * 16 in caught.value.got
    assert ANSWER["id"] in caught.value.remedy


def test_without_a_run_there_is_nothing_to_trace(tmp_path):
    with pytest.raises(UserError, match="takes the id of") as caught:
        Lab(tmp_path).told("0" * 16)
    assert "run a recipe first" in caught.value.remedy


def test_missing_source_is_named(lab):
    key = _key(lab, "code drafts")
    shutil.rmtree(next(lab.store.root.glob(f"{key}*")))
    with pytest.raises(UserError, match="lineage needs every artifact") as caught:
        lab.told(ANSWER["id"])
    assert f"`code drafts` ({key})" in caught.value.got


def test_names_from_data_are_shown_as_they_are_written(tmp_path) -> None:
    lab = Lab(tmp_path)
    sample = _sample("draft", "reflective", {"name": NAME})
    lab.samples(NAME, "draft", [sample])
    lab.finish("run")
    told = StringIO()
    Console(file=told, width=400).print(trace(sample.id, store=lab.store, runs=lab.runs))
    assert told.getvalue().count(ON_ONE_LINE) == 3
