"""RewardBench 2 by hand-made cases, and Ties against the same formula in arrays."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.eval.judged.reward_bench.reward_bench_2 import Question, score, ties


@pytest.mark.parametrize(
    ("right", "wrong", "credit"),
    [([2], [1, 0, 1], 1), ([1], [2, 0, 0], 0), ([2], [2, 0, 1], 0.5), ([1], [1, 1, 1], 0.25), ([-3], [-4], 1)],
)
def test_a_shared_first_place_is_shared(right, wrong, credit):
    assert Question(id="1", right=right, wrong=wrong).credit == credit


REWARDS = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=4)
PAIRS = st.lists(st.tuples(REWARDS, REWARDS, REWARDS, REWARDS), min_size=1, max_size=5)


@given(PAIRS)
def test_ties_against_arrays(pairs):
    ref = [Question(id=f"ref:{i}", right=right[:1], wrong=wrong) for i, (right, wrong, _, _) in enumerate(pairs)]
    tied = [Question(id=f"tied:{i}", right=right, wrong=wrong) for i, (_, _, right, wrong) in enumerate(pairs)]
    margins = np.array([[min(q.right) - max(q.wrong) for q in half] for half in (ref, tied)])
    spread = np.array([np.ptp(q.right) for q in tied])
    with np.errstate(divide="ignore", invalid="ignore"):
        last = np.nan_to_num(np.tanh(margins.min(0) / spread - 1), nan=0.0)
    expected = (
        0.3 * (margins > 0).mean(1).sum()
        + 0.2 * (margins[1] > spread).mean()
        + 0.2 * (margins.min(0) > spread).mean()
        + 0.01 * last.mean()
    )
    assert ties([*tied, *ref]) == pytest.approx(expected, abs=1e-12)


def test_ties_of_the_reference_data(afterbase_data):
    case = json.loads((afterbase_data / "rewardbench" / "v2_ties_case.json").read_text())
    questions = [
        Question(id=row["id"], right=row["scores"][: row["num_correct"]], wrong=row["scores"][row["num_correct"] :])
        for row in case["dataset"]
    ]
    assert ties(questions) == pytest.approx(case["expected_overall_score"], abs=1e-9)


def test_the_average_is_plain():
    easy = [Question(id=str(i), right=[1.0], wrong=[float(i > 0)]) for i in range(4)]
    whole = [Question(id="ref:1", right=[5.0], wrong=[0.0]), Question(id="tied:1", right=[5.0, 4.5], wrong=[0.0])]
    scores = score({"Math": easy, "Ties": whole})
    assert scores["Math"] == 100 * (1 + 3 / 2) / 4
    assert scores["Ties"] == pytest.approx(101, abs=0.001)  # tanh(4.5 / 0.5 - 1) is nearly 1
    assert scores["average"] == pytest.approx((scores["Math"] + scores["Ties"]) / 2)


@pytest.mark.parametrize(
    ("ids", "named"), [(["ref:1"], "1"), (["ref:1", "tied:2"], "1, 2"), (["ref:1", "tied:1", "7"], "7")]
)
def test_ties_without_their_partners_are_refused(ids, named):
    with pytest.raises(UserError, match="come in pairs") as caught:
        ties([Question(id=name, right=[1.0], wrong=[0.0]) for name in ids])
    assert caught.value.got.endswith(f"without the other: {named}")
