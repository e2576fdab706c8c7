import pyarrow.parquet as pq
import pytest

from afterbase.core.sample import Status
from afterbase.core.store import Store
from afterbase.data.generate.draft_pairs import DraftPairs, drafted, make_draft_pairs, pairs_of
from afterbase.data.problems import problems as problem_sets
from afterbase.data.problems.problems import Problems, make_problems, train_problems
from afterbase.model.load import save
from afterbase.rollout.chat_model import Reply
from afterbase.verify.check import check

CONFIG = DraftPairs(drafts=2, samples=2, temperature=1.0, max_new_tokens=4)


@pytest.mark.parametrize("split", ["train", "test"])
def test_pairs_are_of_one_split_and_as_the_rubric_says(tmp_path, toy_lm, split):
    read = train_problems if split == "train" else problem_sets.test_problems
    store = Store(tmp_path)
    model = store.produce("toy", "toy", 1, what={}, inputs={}, make=lambda work: save(toy_lm, work.payload))
    problems = make_problems(store, "chat", Problems(train=12, test=8), seed=0)
    made = make_draft_pairs(store, "pairs", model, problems, split, CONFIG, seed=0)
    rows = pq.read_table(made.payload / "pairs.parquet").to_pylist()
    of_split = {p.prompt: p for p in read(problems)}
    assert len({row["prompt"] for row in rows}) == len(rows) >= len(of_split) / 2
    assert {row["source"] for row in rows} == {"draft"}, "a random model never passes"
    for row in rows:
        problem = of_split[row["prompt"]]
        assert check(problem, row["chosen"]).status is Status.OK
        assert check(problem, row["rejected"]).status is Status.WRONG
    assert made.metrics() == [{"step": 1, "prompts": len(of_split), "draft": len(rows), "sampled": 0}]


def test_a_plan_knows_its_cost(tmp_path):
    store = Store(tmp_path, plan_only=True)
    problems = make_problems(store, "chat", Problems(train=12, test=8), seed=0)
    make_draft_pairs(store, "pairs", problems, problems, "test", CONFIG, seed=0)
    assert store.stages[-1].cost.generated == 8 * 2 * 4


def test_drafts_are_the_same_for_the_same_seed(tmp_path):
    (problem,) = train_problems(make_problems(Store(tmp_path), "chat", Problems(train=1, test=1), seed=0))
    assert drafted(problem, 3, seed=1) == drafted(problem, 3, seed=1) != drafted(problem, 3, seed=2)


def test_a_problem_without_both_makes_no_pair(tmp_path):
    (problem,) = train_problems(make_problems(Store(tmp_path), "chat", Problems(train=1, test=1), seed=0))
    same = [Reply(text="No.", tokens=2)] * 2
    assert pairs_of([problem], [same], "draft") == []
