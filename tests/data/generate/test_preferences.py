import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Sample, Status, Verdict, conversation, write_samples
from afterbase.core.store import Artifact, Store
from afterbase.data.generate.preferences import Preferences, closest_pair, edit_pairs, make_preferences
from afterbase.data.problems.problems import Problems, make_problems
from afterbase.model.load import save
from afterbase.rollout.chat_model import Reply

PROBLEM = Problem(domain="chat", prompt="Say hello.", gold=None, verifier="rubric", spec={})
LETTERS = {"+": Status.OK, "-": Status.WRONG, "?": Status.FAILED}
CONFIG = Preferences(samples=2, temperature=1.0, max_new_tokens=6)


def judged(*answers: tuple[int, str]) -> tuple[list[Reply], list[Verdict]]:
    """Answers given by their tokens and `+` (passes), `-` (fails) or `?` (no verdict); the texts are their places."""
    responses = [Reply(text=str(i), tokens=n) for i, (n, _) in enumerate(answers)]
    verdicts = [Verdict(verifier="rubric", status=LETTERS[word], value=0.5, reason="toy") for _, word in answers]
    return responses, verdicts


def test_the_pair_is_the_one_of_closest_lengths():
    assert closest_pair(PROBLEM, *judged((10, "+"), (50, "+"), (30, "-"), (45, "-"))) == {
        "prompt": "Say hello.",
        "chosen": "1",
        "rejected": "3",
        "source": "sampled",
    }


def test_an_answer_without_a_verdict_is_in_no_pair():
    pair = closest_pair(PROBLEM, *judged((10, "+"), (10, "?"), (90, "-")))
    assert pair is not None
    assert pair["rejected"] == "2"


@pytest.mark.parametrize("words", ["++", "--", "+?", "-?", "??"])
def test_without_a_passing_and_a_failing_answer_there_is_no_pair(words: str):
    assert closest_pair(PROBLEM, *judged(*((10, word) for word in words))) is None


@given(st.lists(st.tuples(st.integers(1, 40), st.sampled_from("+-?")), min_size=2, max_size=10))
@settings(deadline=None)
def test_no_other_pair_is_closer(answers: list[tuple[int, str]]):
    passing = [n for n, word in answers if word == "+"]
    failing = [n for n, word in answers if word == "-"]
    pair = closest_pair(PROBLEM, *judged(*answers))
    if pair is None:
        assert not (passing and failing)
        return
    (chosen, good), (rejected, bad) = answers[int(pair["chosen"])], answers[int(pair["rejected"])]
    assert good + bad == "+-"
    assert abs(chosen - rejected) == min(abs(c - r) for c in passing for r in failing)


def sample(response: str, *, parents: tuple[str, ...] = ()) -> Sample:
    return Sample(
        messages=conversation("Say hello.", response),
        domain="chat",
        kind="open",
        problem_id=None,
        producer={"name": "toy", "edited": bool(parents)},
        parents=parents,
    )


def test_an_edit_is_chosen_over_its_draft():
    draft, accepted, rejected = (
        sample("Helo.").drop("review", "edited"),
        sample("Hi."),
        sample("No.").drop("review", "x"),
    )
    edited = sample("Hello.", parents=(draft.id,))
    assert edit_pairs([draft, edited, accepted, rejected]) == [
        {"prompt": "Say hello.", "chosen": "Hello.", "rejected": "Helo.", "source": "edit"}
    ]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def pairs(store: Store, toy_lm, reviewed: list[Sample]) -> Artifact:
    model = store.produce("toy", "toy", 1, what={}, inputs={}, make=lambda work: save(toy_lm, work.payload))
    samples = store.produce(
        "toy", "toy", 2, what={}, inputs={}, make=lambda w: write_samples(w.payload / "samples.parquet", reviewed)
    )
    problems = make_problems(store, "chat", Problems(train=3, test=1), seed=0)
    return make_preferences(store, model, problems, samples, CONFIG, seed=0)


def test_a_model_that_never_passes_leaves_the_edits(toy_lm, store):
    draft = sample("Helo.").drop("review", "edited")
    artifact = pairs(store, toy_lm, [draft, sample("Hello.", parents=(draft.id,))])
    rows = pq.read_table(artifact.payload / "pairs.parquet").to_pylist()
    assert rows == [{"prompt": "Say hello.", "chosen": "Hello.", "rejected": "Helo.", "source": "edit"}]
    assert artifact.metrics() == [{"step": 1, "prompts": 3, "edits": 1, "sampled": 0}]


def test_no_pair_at_all_is_refused(toy_lm, store):
    with pytest.raises(UserError, match="3 prompts, none with both"):
        pairs(store, toy_lm, [sample("Hi.")])


def test_the_planned_cost_grows_with_the_training_problems(tmp_path):
    store = Store(tmp_path, plan_only=True)
    for train in (5, 10):
        problems = make_problems(store, "chat", Problems(train=train, test=1), seed=0)
        make_preferences(store, problems, problems, problems, CONFIG, seed=0)
    few, many = (r.cost for r in store.stages if r.name == "preference pairs")
    assert (few.generated, few.verified) == (5 * 2 * 6, 5 * 2)
    assert (many.generated, many.verified) == (2 * few.generated, 2 * few.verified)
