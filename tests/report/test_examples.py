"""Which answers are shown, and how many verdicts changed."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.store import Artifact, Store
from afterbase.report.examples import examples, rollouts, turned

VERDICTS = st.sampled_from(["ok", "wrong", "failed"])


def row(checkpoint: str, problem: str, status: str, domain: str = "logic") -> dict[str, Any]:
    return {
        "checkpoint": checkpoint, "system_prompt": False, "domain": domain, "decoding": "greedy",
        "problem_id": problem, "prompt": f"{problem}?", "text": "4", "status": status, "reason": "match", "tokens": 3,
    }  # fmt: skip


def rows(verdicts: list[tuple[str, str]]) -> list[dict[str, Any]]:
    before = [row("base", f"p{i}", a) for i, (a, _) in enumerate(verdicts)]
    return before + [row("final", f"p{i}", b) for i, (_, b) in enumerate(verdicts)]


def test_problems_that_changed_come_first():
    verdicts = [("ok", "ok"), ("wrong", "wrong"), ("ok", "wrong"), ("wrong", "ok"), ("wrong", "ok")]
    assert [e["prompt"] for e in examples(rows(verdicts))] == ["p3?", "p2?", "p0?", "p1?", "p4?"]


@given(st.lists(st.tuples(VERDICTS, VERDICTS), min_size=1, max_size=30))
def test_verdicts_that_changed_are_counted_and_failed_ones_are_not(verdicts):
    judged = [(a, b) for a, b in verdicts if "failed" not in (a, b)]
    counted = [(t["n"], t["gained"], t["lost"]) for t in turned(rows(verdicts))]
    gained, lost = judged.count(("wrong", "ok")), judged.count(("ok", "wrong"))
    assert counted == ([(len(judged), gained, lost)] if judged else [])
    assert len(examples(rows(verdicts))) == min(10, len(verdicts))


def test_sampled_answers_and_a_checkpoint_alone_change_nothing():
    assert turned([row("base", "p", "ok")]) == []
    assert examples([{**row("base", "p", "ok"), "decoding": "sampled"}]) == []


def test_every_domain_is_shown():
    shown = examples([row(c, f"p{i}", "ok", d) for c in ("base", "final") for d in "abcde" for i in range(4)])
    assert [example["domain"] for example in shown] == [domain for domain in "abcde" for _ in range(3)]


def sampled(store: Store, prompts: list[str]) -> Artifact:
    def make(work):
        notes = [
            {"step": i + 1, "domain": "own", "prompt": prompt, "answers": [{"text": f"{i}", "reward": i / 4}]}
            for i, prompt in enumerate(prompts)
        ]
        (work.payload / "samples.jsonl").write_text("".join(json.dumps(note) + "\n" for note in notes))

    return store.produce(f"GRPO on {prompts}", "grpo", 1, what={"prompts": prompts}, inputs={}, make=make)


def told(store: Store, prompts: list[str]) -> list[tuple[str, list[str]]]:
    return [(e["prompt"], [a["checkpoint"] for a in e["answers"]]) for e in rollouts(sampled(store, prompts))]


def test_a_problem_that_was_drawn_early_and_late_is_shown_twice(tmp_path):
    store = Store(tmp_path)
    assert told(store, ["a", "b", "c", "a"]) == [("a", ["step 1", "step 4"])]
    assert told(store, ["a", "b", "c"]) == [("a", ["step 1"]), ("c", ["step 3"])]
    assert told(store, ["a"]) == [("a", ["step 1"])]


def test_other_trainings_sample_nothing(tmp_path):
    made = Store(tmp_path).produce("SFT", "sft", 1, what={}, inputs={}, make=lambda work: None)
    assert rollouts(made) == []
