"""The code blocks of CONTRIBUTING.md, run: each is all that a new part takes."""

import json
import random
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from afterbase.core.sample import Problem, Status
from afterbase.data.domains import arithmetic, code, logic
from afterbase.data.problems.problems import Problems, split_problems
from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.rollout.engine import Sampling
from afterbase.verify import check

PAGE = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
BLOCKS: dict[str, str] = dict(re.findall(r"^### (.+?)$.*?^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))


def run(heading: str) -> Any:
    """The block below a heading, as a module."""
    module = ModuleType("part")
    exec(compile(BLOCKS[heading], heading, "exec"), vars(module))
    return module


def test_every_part_has_its_block():
    assert list(BLOCKS) == ["A domain", "A verifier", "An objective", "A benchmark", "An engine"]


def test_a_domain_has_what_shipped_ones_have_and_its_answers_are_right():
    domain = run("A domain")
    assert all(
        hasattr(domain, name) for name in set(vars(arithmetic)) & set(vars(code)) & set(vars(logic)) if name[0] != "_"
    )
    train, test = split_problems(domain, Problems(train=40, test=10), 0)
    assert check.audit([*train, *test]) == []
    rng = random.Random(0)
    responses = [(p, write(p, rng)) for p in train for write in (domain.original_response, domain.teacher_response)]
    assert {verdict.status for verdict in check.check_many(responses)} == {Status.OK}


def test_a_verifier_judges_through_the_one_entry(monkeypatch: pytest.MonkeyPatch):
    verifier = run("A verifier")
    judge = lambda answers: [verifier.check_start(response=text, spec=spec) for spec, text in answers]  # noqa: E731
    monkeypatch.setitem(check._VERIFIERS, "start", judge)
    problem = Problem(domain="toy", prompt="?", gold=None, verifier="start", spec={"start": "Yes"})
    verdicts = check.check_many([(problem, "<think>No?</think> Yes, it is."), (problem, "No.")])
    assert [(v.status, v.value, v.reason) for v in verdicts] == [
        (Status.OK, 1.0, "match"),
        (Status.WRONG, 0.0, "mismatch"),
    ]


def test_an_objective_has_the_gradient_that_its_switches_say():
    part = run("An objective")
    advantage = 0.5  # one reward of two, without the standard deviation
    expected = advantage / (2 * 8)  # two answers, the budget of eight
    assert torch.allclose(part.logps_N.grad, torch.tensor([-expected] * 2 + [expected] * 3))


def test_a_benchmark_marks_right_and_wrong_answers(tmp_path: Path):
    part = run("A benchmark")
    (tmp_path / "sums.jsonl").write_text(json.dumps({"id": "1", "problem": "1 + 1?", "answer": "2"}) + "\n")
    (question,) = part.TASK.items(Folder(tmp_path))
    marks = part.TASK.score([(question, question.right), (question, "\\boxed{3}")])
    assert [mark.value for mark in marks] == [1.0, 0.0]


def test_an_engine_gives_groups_in_the_order_of_samples():
    engine = run("An engine").Echo()
    engine.sync(3)
    sampling = Sampling(temperature=1.0, max_new_tokens=3, stop_token_ids=(9,), seed=0)
    groups = list(engine.groups([[1, 2, 4], [5]], samples=2, sampling=sampling))
    assert [[c.token_ids for c in group] for group in groups] == [[[1, 2, 9]] * 2, [[5, 9]] * 2]
    assert {(c.weight_version, c.sample_index) for group in groups for c in group} == {(3, 0), (3, 1)}
