import dataclasses
from types import SimpleNamespace

import pytest

from afterbase.core.sample import Drop, Status, read_samples
from afterbase.core.store import Store
from afterbase.data.domains import DOMAINS, REASONING
from afterbase.data.generate.draft import Kind, draft, drafts, written_by_rule
from afterbase.data.problems.problems import Problems, make_problems, split_problems

TEACHER = "procedural teacher"


@pytest.mark.parametrize("domain", REASONING)
def test_every_problem_gets_a_verified_sample_of_both_kinds(domain: str, tmp_path):
    store = Store(tmp_path)
    problems, _ = split_problems(DOMAINS[domain], Problems(train=6, test=1), 0)
    artifact = make_problems(store, domain, Problems(train=6, test=1), seed=0)
    samples = read_samples(
        draft(store, domain, artifact, ["original", "reflective"], seed=0).payload / "samples.parquet"
    )
    assert sorted((s.kind, s.problem_id) for s in samples) == sorted(
        (kind, p.id) for kind in ("original", "reflective") for p in problems
    )
    assert all(s.dropped is None and [v.status for v in s.verdicts] == [Status.OK] for s in samples)
    assert len({s.id for s in samples}) == len(samples)


def test_reflective_samples_carry_the_system_prompt_and_original_ones_carry_none():
    problems, _ = split_problems(DOMAINS["logic"], Problems(train=4, test=1), 0)
    expected: dict[Kind, list[str]] = {
        "original": ["user", "assistant"],
        "reflective": ["system", "user", "assistant"],
    }
    for kind, roles in expected.items():
        for sample, problem in zip(drafts("logic", problems, kind, seed=0), problems, strict=True):
            assert [m["role"] for m in sample.messages] == roles
            assert sample.messages[-2]["content"] == problem.prompt
            assert sample.producer == {"name": f"{TEACHER}, {kind}"}
            if kind == "reflective":
                assert sample.messages[0]["content"] == DOMAINS["logic"].REFLECTIVE_SYSTEM_PROMPT


def test_the_responses_are_those_of_the_domain():
    """Not swapped: the original one is the short one."""
    problems, _ = split_problems(DOMAINS["arithmetic"], Problems(train=10, test=1), 0)
    short, long = (drafts("arithmetic", problems, kind, seed=0) for kind in ("original", "reflective"))
    assert all("\n" not in s.response for s in short)
    assert all("So the answer is" in s.response for s in long)


def test_the_teacher_varies_from_problem_to_problem():
    problems, _ = split_problems(DOMAINS["arithmetic"], Problems(train=30, test=1), 0)
    texts = [s.response for s in drafts("arithmetic", problems, "reflective", seed=0)]
    assert 0 < sum("Let me go over it once more." in text for text in texts) < 30


def test_drafts_follow_from_the_seed_and_not_from_the_other_problems():
    problems, _ = split_problems(DOMAINS["arithmetic"], Problems(train=8, test=1), 0)
    all_at_once = drafts("arithmetic", problems, "reflective", seed=1)
    assert drafts("arithmetic", problems[3:5], "reflective", seed=1) == all_at_once[3:5]
    assert drafts("arithmetic", problems, "reflective", seed=2) != all_at_once


def test_what_a_wrong_teacher_writes_is_dropped_with_the_reason(monkeypatch, tmp_path):
    def wrong_or_boxless(problem, rng):
        return {"1": "\\boxed{77777}", "2": "no idea"}.get(problem.spec.get("fault"), problem.gold)

    toy = SimpleNamespace(
        NAME="arithmetic",
        REFLECTIVE_SYSTEM_PROMPT="Think.",
        problem=DOMAINS["arithmetic"].problem,
        identity=DOMAINS["arithmetic"].identity,
        original_response=wrong_or_boxless,
        teacher_response=lambda problem, rng: problem.gold,
    )
    monkeypatch.setitem(DOMAINS, "arithmetic", toy)
    problems, _ = split_problems(toy, Problems(train=3, test=1), 0)
    problems = [dataclasses.replace(p, spec={**p.spec, "fault": str(i)}) for i, p in enumerate(problems)]
    samples = drafts("arithmetic", problems, "original", seed=0)
    assert [s.dropped for s in samples] == [
        None,
        Drop(stage="draft", rule="wrong: mismatch", score=0.0),
        Drop(stage="draft", rule="wrong: no_box", score=0.0),
    ]
    assert [s.response for s in samples][1:] == ["\\boxed{77777}", "no idea"]
    assert all(s.dropped is None for s in drafts("arithmetic", problems, "reflective", seed=0))


def test_the_teacher_by_rule_replies_as_a_model_does():
    (problem, *_), _ = split_problems(DOMAINS["arithmetic"], Problems(train=3, test=1), 0)
    replies = [written_by_rule(problem, "reflective", seed=seed) for seed in range(4)]
    assert all(r.tokens == len(r.text.split()) and not r.truncated and r.failure is None for r in replies)
    assert len({r.text for r in replies}) > 1
