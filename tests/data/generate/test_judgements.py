"""Judgements as data: random order, agreement, matched lengths, and why each dropped one was dropped."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, read_samples
from afterbase.core.store import Artifact, Store
from afterbase.data.generate.draft_pairs import drafted, pairs_of
from afterbase.data.generate.judgements import (
    Judgements,
    judged_matches,
    judged_pairs,
    make_judgements,
    match_lengths,
)
from afterbase.data.problems.problems import Problems, make_problems, train_problems
from afterbase.reward.build_judge import JudgeConfig, make_judge
from afterbase.reward.judge import Failed, Judgement, read, verdict_line
from afterbase.rollout.chat_model import Reply
from afterbase.rollout.endpoint.endpoint_client import EndpointConfig
from misbehaving import answering, completion, reply

ROW = {"prompt": "Say hello.", "chosen": "good", "rejected": "weak", "source": "draft"}


class Panel:
    """Judges that say what `say(case, number of the judgement of this kind)` gives."""

    def __init__(self, say) -> None:
        self.say = say
        self.asked: Counter[str] = Counter()
        self.cases = []

    def judgements(self, cases, samples):
        return [[self._one(case) for _ in range(samples)] for case in cases]

    def _one(self, case) -> Judgement:
        number = self.asked[case.kind]
        self.asked[case.kind] += 1
        self.cases.append(case)
        said = self.say(case, number)
        if isinstance(said, Failed):
            return Judgement(verdict=None, failed=said, text="I cannot.")
        return Judgement(verdict=said, failed=None, text=f"Thought.\n{verdict_line(case, said)}")


def made(say, rows=(ROW,), **settings):
    panel = Panel(say)
    samples = judged_pairs(panel, list(rows), Judgements(**settings), principles="- Be kind.", domain="toy", seed=0)
    return panel, samples


def fair(case, _):
    if case.kind == "score":
        return 8 if case.answers[0] == "good" else 3
    return "A" if case.answers[0] == "good" else "B"


def rules(samples, task: str) -> list[str | None]:
    return [s.dropped.rule if s.dropped else None for s in samples if s.producer["task"] == task]


def test_judges_that_agree_with_the_pair_are_kept_in_both_orders():
    panel, samples = made(fair)
    assert panel.asked == {"compare": 4, "score": 8}
    orders = [case.answers for case in panel.cases if case.kind == "compare"]
    assert Counter(orders) == {("good", "weak"): 2, ("weak", "good"): 2}
    assert all(s.dropped is None for s in samples)
    assert {s.response.splitlines()[-1].split(": ")[1] for s in samples} == {"A", "B", "8", "3"}
    for sample, case in zip(samples, panel.cases, strict=True):
        assert read(case, Reply(text=sample.response)).failed is None
        assert [m["role"] for m in sample.messages] == ["system", "user", "assistant"]


def test_a_judge_that_goes_by_position_teaches_nothing():
    _, samples = made(lambda case, _: 5 if case.kind == "score" else "A")
    assert set(rules(samples, "compare")) == {"judges do not agree"}
    assert set(rules(samples, "score")) == {"judges do not agree"}
    assert {s.dropped.score for s in samples if s.dropped} == {0.0}


def test_the_one_that_disagrees_is_dropped_and_the_others_stay():
    def say(case, number):
        return "tie" if (case.kind, number) == ("compare", 1) else fair(case, number)

    _, samples = made(say)
    assert rules(samples, "compare") == [None, "disagrees with its pair", None, None]


def test_half_of_the_scale_is_not_enough():
    def say(case, number):
        return "tie" if case.kind == "compare" and number < 2 else fair(case, number)

    _, samples = made(say)
    assert set(rules(samples, "compare")) == {"judges do not agree"}
    assert None in rules(made(say, min_agreement=0.4)[1], "compare")


def test_judges_of_one_mind_against_the_pair_are_dropped():
    wrong = {"good": "B", "weak": "A"}
    _, samples = made(lambda case, n: fair(case, n) if case.kind == "score" else wrong[case.answers[0]])
    assert set(rules(samples, "compare")) == {"judges do not agree"}
    assert set(rules(samples, "score")) == {None}


@pytest.mark.parametrize(("better", "kept"), [(3, False), (4, False), (5, True)])
def test_scores_have_to_differ_by_more_than_a_point(better, kept):
    _, samples = made(lambda case, n: (better if case.answers[0] == "good" else 3) if case.kind == "score" else "A")
    assert set(rules(samples, "score")) == ({None} if kept else {"judges do not agree"})


def test_a_judge_that_fails_is_dropped_as_failed():
    def say(case, number):
        return Failed.REFUSED if number == 0 else fair(case, number)

    _, samples = made(say)
    assert rules(samples, "compare") == ["failed: refused", None, None, None]
    assert rules(samples, "score")[0] == "failed: refused"
    assert set(rules(samples, "score")[1:]) == {None}


def test_matches_are_kept_where_judges_are_of_one_mind_and_know_the_chosen_answer():
    problems = [Problem(domain="toy", prompt="Say hello.", gold="Hello.", verifier="rubric", spec={})]
    say = {"good": "yes", "weak": "no"}

    def judged(panel, votes=2):
        config = Judgements(scores=votes)
        return judged_matches(panel, problems, [ROW], config, principles="")

    assert [s.dropped for s in judged(Panel(lambda case, _: say[case.answers[0]]))] == [None] * 4
    assert rules(judged(Panel(lambda *_: "no")), "match") == [
        "disagrees with its pair", "disagrees with its pair", None, None,
    ]  # fmt: skip
    assert set(rules(judged(Panel(lambda _, n: "yes" if n % 2 else "no")), "match")) == {"judges do not agree"}
    assert judged_matches(Panel(fair), [], [ROW], Judgements(), principles="") == []


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=30), st.floats(1, 3))
def test_lengths_are_matched(lengths, ratio):
    rows = [{"prompt": str(i), "chosen": "x" * a, "rejected": "y" * b} for i, (a, b) in enumerate(lengths)]
    kept = match_lengths(rows, longest_ratio=ratio)
    longer = sum(len(r["chosen"]) > len(r["rejected"]) for r in kept)
    shorter = sum(len(r["chosen"]) < len(r["rejected"]) for r in kept)
    assert longer == shorter
    for row in kept:
        a, b = len(row["chosen"]) + 1, len(row["rejected"]) + 1
        assert max(a / b, b / a) <= ratio * (1 + 1e-9)
    order = [int(row["prompt"]) for row in kept]
    assert order == sorted(order)
    assert all(row in kept for row in rows if len(row["chosen"]) == len(row["rejected"]))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def chat_pairs(store: Store, before: str = "") -> tuple[Artifact, Artifact]:
    problems = make_problems(store, "chat", Problems(train=12, test=1), seed=0)
    batch = train_problems(problems)
    groups = [[Reply(text=t, tokens=len(t)) for t in drafted(p, 3, seed=0)] for p in batch]
    rows = [{**row, "chosen": before + row["chosen"]} for row in pairs_of(batch, groups, "draft")]
    pairs = store.produce(
        "pairs", "toy", 1, what={"before": before}, inputs={},
        make=lambda work: pq.write_table(pa.Table.from_pylist(rows), work.payload / "pairs.parquet"),
    )  # fmt: skip
    return pairs, problems


def test_the_shipped_rubric_judges_and_writes_nothing_twice(store):
    made = make_judgements(store, *chat_pairs(store), Judgements(longest_ratio=3.0), seed=0)
    samples = read_samples(made.payload / "samples.parquet")
    assert len({s.id for s in samples}) == len(samples)
    (numbers,) = made.metrics()
    assert numbers["kept"] == numbers["judgements"] == 4 * numbers["matched"] > 0  # two orders, two answers
    assert {s.kind for s in samples} == {"judgement"}


def test_answers_are_judged_without_their_thoughts(store):
    plain, thoughtful = (
        read_samples(made.payload / "samples.parquet")
        for before in ("", "<think>\nSomething to say.\n</think>")
        for made in [make_judgements(store, *chat_pairs(store, before), Judgements(longest_ratio=3.0), seed=0)]
    )
    assert plain == thoughtful


def test_an_endpoint_may_judge_and_its_refusals_are_dropped(store):
    with answering(lambda _: reply(200, completion("I cannot judge."))) as server:
        config = JudgeConfig(endpoint=EndpointConfig(url=server.url, model="toy"))
        judge = make_judge(store, "judge", config, None)
        with pytest.raises(UserError, match="learns from judgements") as raised:
            make_judgements(
                store,
                *chat_pairs(store),
                Judgements(comparisons=1, scores=1, longest_ratio=3.0),
                seed=0,
                judge=(judge, config),
            )
    assert "none that may be kept" in raised.value.got
