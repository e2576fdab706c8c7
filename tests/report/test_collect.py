"""From artifacts written by hand to the summary of a run."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterbase.core.sample import Sample, conversation, write_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.base_model import import_base
from afterbase.eval.summarise import Pair
from afterbase.report import collect as module
from afterbase.report.collect import collect, teacher_tokens
from afterbase.report.html import render
from afterbase.report.summary import Summary

Write = Callable[[Workspace], Any]
FACTS = {
    "base": {"mtp_acceptance_greedy": 0.7},
    "control, balanced": {"busiest_expert_over_mean": [1.1, 1.2]},
    "control, unbalanced": {"busiest_expert_over_mean": [2.1, 2.2]},
}


def _row(checkpoint: str, problem: str, value: float, *, decoding: str = "greedy", domain: str = "arithmetic") -> dict:
    return {
        "id": f"{checkpoint}/{problem}", "checkpoint": checkpoint, "model": "m", "domain": domain, "decoding": decoding,
        "system_prompt": False, "problem_id": problem, "prompt": f"{problem}?", "sample_index": 0,
        "text": f"{checkpoint} says {value}", "status": "ok" if value else "wrong", "reason": "match", "value": value,
        "answer": "4", "tokens": 7, "truncated": False, "well_formed": True,
    }  # fmt: skip


def _answers(rows: list[dict]) -> Write:
    return lambda work: pq.write_table(pa.Table.from_pylist(rows), work.payload / "answers.parquet")


def _samples(samples: list[Sample]) -> Write:
    return lambda work: write_samples(work.payload / "samples.parquet", samples)


def _sample(text: str, kind: str = "curated", domain: str = "arithmetic") -> Sample:
    messages = conversation("2 + 2?", text)
    return Sample(messages=messages, domain=domain, kind=kind, problem_id=None, producer={"name": "somebody"})


class Run:
    """A store whose base and final checkpoint is the toy model, to which a test adds what it is about."""

    def __init__(self, root: Path, base: Path) -> None:
        self.store = Store(root / "store")
        self.base = import_base(self.store, base)

    def make(self, name: str, stage: str, write: Write, **what: Any) -> Artifact:
        asked = {"name": name, "minibatches": 1, "epochs": 1, **what}
        return self.store.produce(name, stage, 1, what=asked, inputs={"base": self.base}, make=write)

    def summary(self, answers: Mapping[int, Sequence[Artifact]] | None = None, **changes: Any) -> Summary:
        if answers is None:
            answers = {0: [self.make("nothing", "evaluate", _answers([_row("base", "p", 0.0)]))]}
        said = {name: changes.pop(name, []) for name in ("pairs", "notes")}
        made = module.Made(answers=dict(answers), **{"curves": [], "data": [], "final": self.base, **changes})
        return collect(made, name="toy", recipe_text="# toy", store=self.store, **said)


@pytest.fixture
def run(tmp_path, toy_folder) -> Run:
    return Run(tmp_path, toy_folder)


def test_summary_has_all_parts_and_makes_a_page(run):
    summary = run.summary(notes=["a note"])
    assert summary.keys() == Summary.__annotations__.keys()
    assert (summary["run"], summary["recipe_toml"], summary["notes"]) == ("toy", "# toy", ["a note"])
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert "a note" in render(summary)


def test_stages_are_listed_and_each_artifact_timed_once(run):
    again = run.make("nothing", "evaluate", _answers([_row("base", "p", 0.0)]))
    summary = run.summary()
    assert [(s["name"], s["stage"], s["cached"], s["inputs"]) for s in summary["stages"]] == [
        ("base model", "base", False, []),
        ("nothing", "evaluate", False, ["base model"]),
        ("nothing", "evaluate", True, ["base model"]),
    ]
    assert [s["digest"] for s in summary["stages"]] == [run.base.digest, again.digest, again.digest]
    seconds = [artifact.manifest["seconds"] for artifact in (run.base, again)]
    assert summary["seconds_total"] == pytest.approx(sum(seconds))


def test_seeds_are_pooled_without_mixing_their_problems(run):
    answers = {}
    for seed, (base, final) in enumerate([((0, 0), (1, 0)), ((0, 1), (1, 1))]):
        rows = [_row("base", f"p{i}", float(v)) for i, v in enumerate(base)]
        rows += [_row("final", f"p{i}", float(v)) for i, v in enumerate(final)]
        answers[seed] = [run.make(f"evaluate [seed {seed}]", "evaluate", _answers(rows))]
    pairs = [Pair("base", "final", domain, "greedy", False, False) for domain in ("arithmetic", None)]
    summary = run.summary(answers, pairs=pairs)
    assert [(e["checkpoint"], e["n"], e["pass1"]) for e in summary["evaluations"]] == [
        ("base", 4, 0.25),
        ("final", 4, 0.75),
    ]
    assert [(c["domain"], c["n"], c["difference"]) for c in summary["comparisons"]] == [
        ("arithmetic", 4, 0.5),
        ("all", 4, 0.5),
    ]


def test_open_domains_are_not_compared(run):
    rows = [_row(c, "p", v, domain=d) for c, v in (("base", 0.0), ("final", 1.0)) for d in ("arithmetic", "chat")]
    answers = {0: [run.make("evaluate", "evaluate", _answers(rows))]}
    summary = run.summary(answers, pairs=[Pair("base", "final", None, "greedy", False, False)])
    assert [c["n"] for c in summary["comparisons"]] == [1]
    assert {e["domain"] for e in summary["evaluations"]} == {"arithmetic", "chat"}


def test_examples_are_greedy_answers_of_the_first_seed(run):
    rows = [_row("base", "p", 0.0), _row("base", "p", 1.0, decoding="sampled"), _row("final", "p", 1.0)]
    other = [_row("base", "q", 0.0)]
    answers = {seed: [run.make(f"evaluate {seed}", "evaluate", _answers(own))] for seed, own in ((4, rows), (2, other))}
    [example] = run.summary(answers)["examples"]
    assert (example["domain"], example["prompt"]) == ("arithmetic", "p?")
    assert [(a["checkpoint"], a["text"]) for a in example["answers"]] == [
        ("base", "base says 0.0"),
        ("final", "final says 1.0"),
    ]


def test_a_training_that_is_not_evaluated_tells_what_it_measured_and_sampled(run):
    def train(work: Workspace) -> None:
        work.log(1, 2, reward=0.25, solved=0.5)
        work.log(2, 2, reward=0.75, solved=1.0)
        note = {"step": 1, "domain": "own", "prompt": "2 + 2?", "answers": [{"text": "5", "reward": 0.25}]}
        (work.payload / "samples.jsonl").write_text(json.dumps(note) + "\n")
        shutil.copytree(run.base.payload, work.payload, dirs_exist_ok=True)

    summary = run.summary({0: []}, final=run.make("GRPO", "grpo", train))
    assert [(m["name"], m["before"], m["after"]) for m in summary["measures"]] == [
        ("reward in training", 0.25, 0.75),
        ("right answers in training", 0.5, 1.0),
    ]
    assert [example["prompt"] for example in summary["examples"]] == ["2 + 2?"]
    assert "reward 0.25" in render(summary)


def test_curves_leave_out_what_was_not_measured(run):
    def train(work: Workspace) -> None:
        work.log(1, 2, reward=0.5, solved=math.nan, length=9, loss=3.0)
        work.log(2, 2, reward=0.75, solved=math.nan, length=math.nan, loss=2.0)

    curves = run.summary(curves=[run.make("GRPO", "grpo", train), run.make("SFT", "sft", train)])["curves"]
    assert [(c["title"], c["series"][0]["points"]) for c in curves] == [
        ("GRPO: mean reward", [[1, 0.5], [2, 0.75]]),
        ("GRPO: answer length", [[1, 9]]),
        ("SFT: loss", [[1, 3.0], [2, 2.0]]),
    ]


def test_curves_have_a_point_a_rollout(run):
    def train(work: Workspace) -> None:
        for step in range(1, 9):
            work.log(step, 8, reward=(step - 1) // 4 / 2)

    [curve] = run.summary(curves=[run.make("GRPO", "grpo", train, minibatches=2, epochs=2)])["curves"]
    assert curve["series"][0]["points"] == [[1, 0.0], [5, 0.5]]


def test_flow_counts_each_row_where_it_was_dropped(run):
    rows = [_sample("a"), _sample("b").drop("curate", "wrong"), _sample("c").drop("curate", "wrong")]
    chat = [_sample("d", domain="chat"), _sample("e", domain="chat").drop("mix", "duplicate")]
    curated = run.make("rejection sampling", "curate", _samples(rows))
    mixed = run.make("SFT set", "mix", _samples([*rows, *chat]))
    assert run.summary(data=[curated, mixed])["flow"] == [
        {"stage": "rejection sampling", "domain": "arithmetic", "made": 3, "kept": 1, "dropped": {"wrong": 2}},
        {"stage": "SFT set", "domain": "arithmetic", "made": 1, "kept": 1, "dropped": {}},
        {"stage": "SFT set", "domain": "chat", "made": 2, "kept": 1, "dropped": {"duplicate": 1}},
    ]


def test_cleaning_drops_under_the_names_of_its_parts(run):
    rows = [_sample("a"), _sample("b").drop("curate", "wrong"), _sample("c").drop("filter", "long")]
    cleaned = run.make("cleaned set", "clean", _samples([*rows, _sample("d").drop("dedup", "near duplicate")]))
    assert run.summary(data=[cleaned])["flow"] == [
        {
            "stage": "cleaned set", "domain": "arithmetic", "made": 3, "kept": 1,
            "dropped": {"long": 1, "near duplicate": 1},
        },
    ]  # fmt: skip


def test_training_samples_show_the_loss_mask_of_one_kept_row_of_each_kind(run):
    rows = [_sample("no").drop("curate", "wrong"), _sample("4"), _sample("four"), _sample("4!", kind="original")]
    shown = run.summary(data=[run.make("drafts", "draft", _samples(rows))])["training_samples"]
    assert [(s["domain"], s["kind"]) for s in shown] == [("arithmetic", "curated"), ("arithmetic", "original")]
    assert shown[0]["spans"] == [
        {"text": "<|begin|><|user|>2 + 2?<|assistant|>", "trained": False},
        {"text": "4<|end|>", "trained": True},
    ]


def test_model_facts_come_from_the_card_of_the_base(run, tmp_path, toy_folder, toy_lm):
    without = run.summary()["model"]
    assert without["parameters"] == sum(p.numel() for p in toy_lm.modules().parameters())
    assert (without["expert_load"], without["mtp_acceptance"]) == ([], None)
    (toy_folder / "facts.json").write_text(json.dumps(FACTS))
    facts = Run(tmp_path / "carded", toy_folder).summary(final=run.base)["model"]
    assert facts["mtp_acceptance"] == 0.7
    assert facts["expert_load"] == [
        {"layer": 1, "balanced_max_over_mean": 1.1, "unbalanced_max_over_mean": 2.1},
        {"layer": 2, "balanced_max_over_mean": 1.2, "unbalanced_max_over_mean": 2.2},
    ]


def test_teacher_tokens_are_means_with_the_stop_token(run, toy_tokenizer):
    texts = {"reflective": ["Wait, let me check.", "No."], "original": ["4"]}
    rows = [_sample(text, kind) for kind, group in texts.items() for text in group]
    drafts = run.make("drafts", "draft", _samples(rows))
    lengths = {kind: [len(toy_tokenizer(text)["input_ids"]) + 1 for text in group] for kind, group in texts.items()}
    assert teacher_tokens(drafts, run.base) == (sum(lengths["reflective"]) / 2, lengths["original"][0])


def test_commit_is_unknown_without_git(run, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert run.summary()["machine"]["commit"] == "unknown"


@pytest.mark.parametrize("ours", [True, False])
def test_commit_is_that_of_the_repository_that_holds_afterbase(run, tmp_path, monkeypatch, ours):
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "collect.py").write_text("")
    if ours:
        git("add", "collect.py")
    git("commit", "--quiet", "--allow-empty", "--message", "a commit")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "collect.py"))
    assert run.summary()["machine"]["commit"] == (git("rev-parse", "--short", "HEAD") if ours else "unknown")
