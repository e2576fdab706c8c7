import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.sample import Drop, Problem, Sample, Status, Verdict, read_samples
from afterbase.core.store import Store, stage_key
from afterbase.data.generate.rejection_sampling import VERSION, Rejection, balanced, curate, decide
from afterbase.data.generate.selection import Rules
from afterbase.data.problems.problems import Problems, make_problems, train_problems
from afterbase.model.load import save
from afterbase.rollout.chat_model import Reply
from afterbase.rollout.engine_model import EngineModel
from afterbase.rollout.problem_replies import problem_requests

PROBLEM = Problem(domain="arithmetic", prompt="1 + 1 =", gold="\\boxed{2}", verifier="maths", spec={"answer": "2"})
RIGHT = Verdict(verifier="maths", status=Status.OK, value=1.0, reason="match")
WRONG = Verdict(verifier="maths", status=Status.WRONG, value=0.0, reason="mismatch")
FAILED = Verdict(verifier="maths", status=Status.FAILED, value=0.0, reason="verifier_error")
PRODUCER = {"name": "model", "checkpoint": "abc"}


def answer(text: str = "2 = \\boxed{2}", *, tokens: int = 10, truncated: bool = False) -> Reply:
    return Reply(text=text, tokens=tokens, finish="length" if truncated else "stop")


def decided(*judged: tuple[Reply, Verdict], keep: int = 1, rules: Rules | None = None) -> list[Sample]:
    responses, verdicts = zip(*judged, strict=True)
    config = Rejection(samples=len(responses), keep=keep, temperature=1.0, max_new_tokens=400, rules=rules)
    return decide(PROBLEM, responses, verdicts, PRODUCER, config)


def drops(*judged: tuple[Reply, Verdict], keep: int = 1) -> list[Drop | None]:
    return [s.dropped for s in decided(*judged, keep=keep)]


def curated(rule: str, score: float | None = None) -> Drop:
    return Drop(stage="curate", rule=rule, score=score)


def test_a_right_answer_is_kept_with_its_lineage():
    [sample] = decided((answer(tokens=7), RIGHT))
    assert sample.dropped is None
    assert sample.kind == "curated"
    assert sample.problem_id == PROBLEM.id
    assert list(sample.messages) == [
        {"role": "user", "content": "1 + 1 ="},
        {"role": "assistant", "content": "2 = \\boxed{2}"},
    ]
    assert sample.producer == {**PRODUCER, "sample_index": 0}
    assert sample.verdicts == [RIGHT]
    assert sample.extra == {"tokens": 7}


@pytest.mark.parametrize(
    ("response", "verdict", "drop"),
    [
        (answer(tokens=320, truncated=True), RIGHT, curated("truncated", 320)),
        (answer(tokens=320, truncated=True), WRONG, curated("truncated", 320)),
        (answer("\\boxed{3}"), WRONG, curated("wrong: mismatch", 0.0)),
        (answer(), FAILED, curated("failed: verifier_error", 0.0)),
        (answer("\\boxed{2} is what I think."), RIGHT, curated("malformed")),
    ],
    ids=["truncated", "truncated and wrong", "wrong", "failed", "malformed"],
)
def test_a_faulty_answer_is_dropped_under_its_rule(response: Reply, verdict: Verdict, drop: Drop):
    assert drops((response, verdict)) == [drop]


def test_a_repeated_answer_is_dropped_and_the_first_kept():
    assert drops((answer(), RIGHT), (answer(), RIGHT), keep=2) == [None, curated("repeated")]


def test_a_dropped_answer_does_not_make_a_later_one_repeated():
    assert drops((answer(truncated=True), RIGHT), (answer(), RIGHT)) == [curated("truncated", 10), None]


def test_the_shortest_are_kept_and_of_equals_the_first():
    lengths = [30, 10, 20, 10]
    group = [(answer(f"{i}: \\boxed{{2}}", tokens=n), RIGHT) for i, n in enumerate(lengths)]
    too_long = "not among the shortest"
    assert drops(*group, keep=1) == [curated(too_long, 30), None, curated(too_long, 20), curated(too_long, 10)]
    assert drops(*group, keep=3) == [curated(too_long, 30), None, None, None]
    assert drops(*group, keep=9) == [None] * 4


def test_short_wrong_answers_do_not_push_out_a_long_right_one():
    assert drops((answer("\\boxed{3}", tokens=1), WRONG), (answer(tokens=300), RIGHT))[1] is None


JUDGED = st.tuples(
    st.builds(
        answer,
        text=st.sampled_from(["a \\boxed{2}", "b \\boxed{2}", "c \\boxed{2}", "no box"]),
        tokens=st.integers(1, 50),
        truncated=st.booleans(),
    ),
    st.sampled_from([RIGHT, RIGHT, WRONG, FAILED]),
)


@given(st.lists(JUDGED, min_size=1, max_size=12), st.integers(1, 4))
@settings(deadline=None)
def test_nothing_is_lost_and_only_the_shortest_faultless_answers_stay(group: list[tuple[Reply, Verdict]], keep: int):
    samples = decided(*group, keep=keep)
    assert [(s.response, s.verdicts[0], s.producer["sample_index"]) for s in samples] == [
        (response.text, verdict, i) for i, (response, verdict) in enumerate(group)
    ]
    kept = [s for s in samples if s.dropped is None]
    longer = [s for s in samples if s.dropped and s.dropped.rule == "not among the shortest"]
    assert all(s.verdicts[0].status is Status.OK for s in kept)
    assert len({s.response for s in kept}) == len(kept) <= keep
    assert not longer or (len(kept) == keep and kept_longest(kept) <= min(s.extra["tokens"] for s in longer))
    assert {s.dropped.rule for s in samples if s.dropped and s.verdicts[0].status is Status.FAILED} <= {
        "truncated",
        "failed: verifier_error",
    }


def kept_longest(samples: list[Sample]) -> int:
    return max(s.extra["tokens"] for s in samples)


def test_the_stage_samples_every_training_problem_and_keeps_every_row(toy_lm, tmp_path):
    store = Store(tmp_path)
    expert = store.produce("toy", "toy", 1, what={}, inputs={}, make=lambda work: save(toy_lm, work.payload))
    problems = make_problems(store, "arithmetic", Problems(train=3, test=1), seed=0)
    config = Rejection(samples=2, temperature=1.0, max_new_tokens=6)
    artifact = curate(store, "arithmetic", expert, problems, config, seed=0)
    samples = read_samples(artifact.payload / "samples.parquet")
    assert [s.problem_id for s in samples] == [p.id for p in train_problems(problems) for _ in range(2)]
    assert all(s.producer["checkpoint"] == expert.key for s in samples)
    # The expert writes without the system prompt: reinforcement learning has made it do without.
    requests = problem_requests(train_problems(problems), samples=2, temperature=1.0, max_new_tokens=6, seed=0)
    replies = EngineModel(toy_lm, name=expert.key).complete(requests)
    assert [s.response for s in samples] == [reply.text for reply in replies]
    assert all([m["role"] for m in s.messages] == ["user", "assistant"] for s in samples)
    [numbers] = artifact.metrics()
    assert (numbers["sampled"], numbers["kept"], numbers["failed"]) == (6, 0, 0)  # random weights know no arithmetic


def test_the_planned_cost_grows_with_the_training_problems(tmp_path):
    store = Store(tmp_path, plan_only=True)
    config = Rejection(samples=4, temperature=1.0, max_new_tokens=100)
    for train in (10, 30):
        problems = make_problems(store, "logic", Problems(train=train, test=1), seed=0)
        curate(store, "logic", problems, problems, config, seed=0)
    few, many = (r.cost for r in store.stages if r.name == "logic rejection sampling")
    assert (few.generated, few.verified) == (10 * 4 * 100, 10 * 4)
    assert (many.generated, many.verified) == (3 * few.generated, 3 * few.verified)


def test_rules_drop_under_their_name_and_the_choice_is_made_of_the_rest():
    looping = "2 = \\boxed{2}. Wait, let me check. Hmm, 1 + 1. Wait, yes."
    rambling = "So it is 2. " + "Let me say more about it. " * 20 + "\\boxed{2}"
    group = [(answer(looping, tokens=5), RIGHT), (answer(rambling, tokens=9), RIGHT), (answer(tokens=30), RIGHT)]
    rules = Rules(reflections=1, after_answer=0.5)
    looped, rambled, kept = (s.dropped for s in decided(*group, rules=rules))
    assert looped is None or looped.rule != "not among the shortest"
    assert rambled is not None
    assert rambled.rule == "overthinking: after the answer"
    assert rambled.score == pytest.approx(0.95, abs=0.05)
    assert kept is None


def test_the_best_are_those_of_the_highest_reward():
    better = Verdict(verifier="maths", status=Status.OK, value=0.9, reason="match")
    worse = Verdict(verifier="maths", status=Status.OK, value=0.5, reason="match")
    group = [(answer("a \\boxed{2}", tokens=3), worse), (answer("b \\boxed{2}", tokens=9), better)]
    samples = decided(*group, rules=Rules(choose="best"))
    assert [s.dropped for s in samples] == [curated("not among the best", 3), None]


def test_easy_problems_are_seen_and_cut_to_their_share():
    hard = [(answer(f"{i} \\boxed{{2}}"), RIGHT if i == 0 else WRONG) for i in range(3)]
    other = Problem(domain="arithmetic", prompt="2 + 2 =", gold="\\boxed{4}", verifier="maths", spec={"answer": "4"})
    config = Rejection(samples=3, keep=3, temperature=1.0, max_new_tokens=9, rules=Rules(easy_share=0.5))
    easy = decide(other, [answer(f"{i} = \\boxed{{4}}") for i in range(3)], [RIGHT] * 3, PRODUCER, config)
    samples, spread = balanced([*decided(*hard, keep=3, rules=config.rules), *easy], config.rules)
    assert [round(s.extra["solve_rate"], 2) for s in samples] == [0.33] * 3 + [1.0] * 3
    assert sum(s.dropped is None for s in samples[3:]) == 1
    assert {s.dropped for s in samples[3:] if s.dropped} == {curated("too many easy", 1.0)}
    assert list(spread.values()) == [0, 1, 0, 0, 1]


def test_rules_that_are_not_asked_for_change_neither_bytes_nor_key(tmp_path):
    samples = decided((answer(), RIGHT), (answer("\\boxed{3}"), WRONG))
    assert balanced(samples, None) == (samples, {})
    store = Store(tmp_path, plan_only=True)
    problems = make_problems(store, "logic", Problems(train=3, test=1), seed=0)
    plain = {"samples": 4, "keep": 1, "temperature": 1.0, "max_new_tokens": 100}
    made = curate(store, "logic", problems, problems, Rejection(**plain), seed=0)
    inputs = {"expert": problems.digest, "problems": problems.digest}
    assert made.key == stage_key("curate", VERSION, {**plain, "domain": "logic", "seed": 0}, inputs)
    assert curate(store, "logic", problems, problems, Rejection(**plain, rules=Rules()), seed=0).key != made.key
