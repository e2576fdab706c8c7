"""Questions are found in named files and in a checkpoint's lineage, and nowhere else."""

import json

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Drop, Problem, Sample, write_problems, write_samples
from afterbase.core.store import Store
from afterbase.eval.benchmarks.contamination import contaminated, training_of

QUESTION = "If Ann had twice as many pears as Ben, how many pears would both have, given that Ben has seven?"
PROBLEM = "How many of the first hundred whole numbers can be divided by seven but not by two?"
DROPPED = "Which of the rivers that flow through Vienna is the longest one, and where does it end?"
CLEAN = "What is the smallest whole number that has exactly twelve divisors, counting one and itself?"
QUESTIONS = [QUESTION, PROBLEM, DROPPED, CLEAN]


def _sample(prompt: str, dropped: Drop | None = None) -> Sample:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": "Sure."}]
    return Sample(messages=turns, domain="toy", kind="open", problem_id=None, producer={"name": "toy"}, dropped=dropped)


@pytest.fixture
def checkpoint(tmp_path):
    """A model made from two stages: a set of samples, and problems."""
    store = Store(tmp_path / "store")

    def samples(work):
        write_samples(
            work.payload / "samples.parquet",
            [_sample(f"Please: {QUESTION.upper()}"), _sample(DROPPED, Drop(stage="clean", rule="length"))],
        )

    def problems(work):
        problem = Problem(domain="toy", prompt=PROBLEM, gold="14", verifier="maths", spec={})
        write_problems(work.payload / "train.parquet", [problem])

    def sft(work):
        (work.payload / "weights").write_text("1")

    made = {
        "data": store.produce("data", "data", 1, what={}, inputs={}, make=samples),
        "problems": store.produce("problems", "problems", 1, what={}, inputs={}, make=problems),
    }
    first = store.produce("SFT", "sft", 1, what={}, inputs=made, make=sft)
    return store.produce("GRPO", "grpo", 1, what={}, inputs={"base": first}, make=sft)


def test_a_checkpoint_was_trained_on_what_its_lineage_kept(checkpoint):
    training = training_of(checkpoint.payload, [])
    assert training.known
    assert training.missing == []
    shown: list[int] = []
    assert contaminated(QUESTIONS, training, shown.append) == {QUESTION, PROBLEM}
    assert shown[-1] == 2


def test_checkpoints_on_the_way_have_the_same_lineage(checkpoint):
    step = checkpoint.folder / "checkpoints" / "step-3"
    step.mkdir(parents=True)
    assert training_of(step, []) == training_of(checkpoint.payload, [])


def test_what_is_missing_of_a_lineage_is_named(checkpoint):
    store = Store(checkpoint.folder.parent)
    data = next(a for a in store.ancestors(checkpoint.key)[0] if a.name == "data")
    data.folder.rename(data.folder.with_name("elsewhere"))
    training = training_of(checkpoint.payload, [])
    assert training.missing == ["data"]
    assert contaminated(QUESTIONS, training, lambda _: None) == {PROBLEM}


def test_nothing_is_known_of_a_folder_that_no_run_made(tmp_path):
    assert not training_of(tmp_path, []).known
    (tmp_path / "manifest.json").write_text("{}")  # somebody else's
    assert not training_of(tmp_path / "model", []).known
    assert not training_of(None, []).known


def test_named_files_count_and_two_questions_may_be_in_one_row(tmp_path):
    rows = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": f"{QUESTION} {PROBLEM} {CLEAN[:30]}"}]
    rows.write_text(json.dumps({"messages": turns}) + "\n")
    assert contaminated([*QUESTIONS, "?"], training_of(None, [rows]), lambda _: None) == {QUESTION, PROBLEM}
    assert contaminated(["?"], training_of(None, [rows]), lambda _: None) == set()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="a file of rows exists"):
        contaminated(QUESTIONS, training_of(None, [tmp_path / "none.parquet"]), lambda _: None)
