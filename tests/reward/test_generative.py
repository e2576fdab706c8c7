"""The generative reward: votes become rewards, comparisons are shown both ways round, and what fails is no zero."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.sample import Problem, Status
from afterbase.reward.generative import GenerativeReward
from afterbase.reward.judge import Failed, Reply
from afterbase.reward.route import failed_share, rewards
from afterbase.reward.writers import Writer

OPEN = Problem(domain="toy", prompt="Say hello.", gold=None, verifier="rubric", spec={})
GOLD = Problem(domain="toy", prompt="What is 1 + 1?", gold="2", verifier="rubric", spec={})


class Scripted(Writer):
    """A writer whose replies are `say(texts, sample)`, texts being what stands between the fences."""

    def __init__(self, say) -> None:
        self.say = say
        self.asked: list[list[str]] = []

    def write(self, prompts, *, samples, seed):
        groups = []
        for _, user in prompts:
            *_, last = user["content"].splitlines()
            mark = last.split("`")[1].split()[1].rstrip(":")
            texts = user["content"].split(f"\n{mark}\n")[1::2]
            self.asked += [texts] * samples
            groups.append([self._reply(self.say(texts, n), mark) for n in range(samples)])
        return groups

    def _reply(self, said, mark) -> Reply:
        if isinstance(said, Failed):
            return Reply(text="", failed=said)
        return Reply(text=f"Thought.\nVerdict {mark}: {said}")


def asked(reward: GenerativeReward) -> list[list[str]]:
    assert isinstance(reward.writer, Scripted)
    return reward.writer.asked


def judge(say, *, votes: int) -> GenerativeReward:
    return GenerativeReward(Scripted(say), "- Be kind.", votes, seed=0)


@given(st.lists(st.one_of(st.integers(1, 10), st.just(Failed.REFUSED)), min_size=1, max_size=6))
def test_a_reward_is_the_mean_score_between_0_and_1(said):
    ((value, verdict),) = judge(lambda _, n: said[n], votes=len(said)).judge([(OPEN, "Hello.")])
    given_scores = [s for s in said if isinstance(s, int)]
    if given_scores and 2 * len(given_scores) >= len(said):
        assert verdict is None
        assert value is not None
        assert value == pytest.approx((sum(given_scores) / len(given_scores) - 1) / 9)
        assert 0.0 <= value <= 1.0
    else:
        assert value is None
        assert verdict is not None
        assert (verdict.status, verdict.reason, verdict.verifier) == (Status.FAILED, "refused", "judge")


@pytest.mark.parametrize(
    ("said", "value", "reason"),
    [
        (["yes", "yes", "no"], 1.0, None),
        (["no", "no", "yes"], 0.0, None),
        (["yes", "no"], None, "undecided"),
        (["yes", Failed.CUT_OFF, Failed.CUT_OFF], None, "cut_off"),
        ([7, 7, 7], None, "no_verdict"),
    ],
)
def test_with_a_right_answer_the_majority_says_whether_it_matches(said, value, reason):
    reward = judge(lambda _, n: said[n], votes=len(said))
    ((got, verdict),) = reward.judge([(GOLD, "It is two.")])
    assert asked(reward)[0] == ["What is 1 + 1?", "2", "It is two."]
    assert got == value
    assert (verdict.reason if verdict else None) == reason


def test_answers_of_both_kinds_are_judged_in_their_order():
    reward = judge(lambda texts, _: "yes" if len(texts) == 3 else len(texts[1]), votes=2)
    values = [value for value, _ in reward.judge([(OPEN, "x"), (GOLD, "two"), (OPEN, "x" * 10)])]
    assert values == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("votes", [1, 2, 3, 6])
def test_a_fair_judge_finds_the_better_answer_wherever_it_stands(votes):
    def fair(texts, _):
        return "A" if "good" in texts[1] else "B" if "good" in texts[2] else "tie"

    reward = judge(fair, votes=votes)
    pairs = [("q1", "good", "bad"), ("q2", "bad", "good"), ("q3", "bad", "worse")]
    assert [m.winner for m in reward.compare(pairs)] == ["A", "B", "tie"]
    assert len(asked(reward)) == 3 * votes


@pytest.mark.parametrize("said", ["A", "B"])
def test_a_judge_that_goes_by_position_is_undecided(said):
    (vote,) = judge(lambda *_: said, votes=6).compare([("q", "good", "bad")])
    assert vote.winner is None
    assert vote.tied


def test_failed_judgements_are_counted_as_the_verifiers_fault_and_bring_no_reward():
    model = judge(lambda texts, _: Failed.NO_VERDICT if "x" in texts[1] else 10, votes=2)
    judged = rewards([(OPEN, "x"), (OPEN, "Hello.")], tokens=[10, 20], budget=40, length_weight=0.4, model=model)
    assert [r.value for r in judged] == [None, pytest.approx(0.8)]
    assert failed_share(judged) == 0.5
