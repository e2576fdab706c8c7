import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.reward.votes import Majority, as_given, majority, mean, most_frequent, quorum, reversed_order

VOTES = st.lists(st.sampled_from(["A", "B", "tie", None]), max_size=9)


def test_the_most_frequent_vote_wins():
    assert majority(["A", "B", "A", None]) == Majority(winner="A", share=2 / 3, voted=3, abstained=1, tied=False)


def test_a_tie_is_told_and_not_broken():
    assert majority(["A", "B"]) == Majority(winner=None, share=0.5, voted=2, abstained=0, tied=True)
    assert majority(["A", "tie", "A", "tie", "B"]).tied


def test_of_the_most_frequent_votes_there_may_be_several_or_none():
    assert most_frequent(["B", None, None, None, "A", "A", "B", "tie"]) == ["B", "A"]
    assert most_frequent([None]) == most_frequent([]) == []


@pytest.mark.parametrize("votes", [[], [None], [None, None, "A"]])
def test_too_few_votes_are_no_vote(votes):
    vote = majority(votes)
    assert vote.winner is None
    assert not vote.tied
    assert not quorum(votes)
    assert mean([None if v is None else 7.0 for v in votes]) is None


def test_a_mean_leaves_abstentions_out():
    assert mean([3, None, 8]) == 5.5
    assert mean([0, 0]) == 0.0, "a low score is no abstention"


@given(VOTES, st.randoms())
def test_the_order_of_votes_does_not_matter(votes, random):
    shuffled = votes[:]
    random.shuffle(shuffled)
    assert majority(shuffled) == majority(votes)


@given(VOTES)
def test_a_winner_has_more_votes_than_any_other(votes):
    vote = majority(votes)
    assert vote.voted + vote.abstained == len(votes)
    if vote.winner is not None:
        others = [votes.count(v) for v in ("A", "B", "tie") if v != vote.winner]
        assert votes.count(vote.winner) > max(others)


@given(st.text(), st.tuples(st.text(), st.text()), st.integers(0, 9), st.integers(0, 20))
def test_an_order_shows_the_same_answer_first_whichever_way_the_pair_is_given(question, answers, seed, index):
    a, b = answers

    def first(pair: tuple[str, str]) -> str:
        return pair[reversed_order(question, pair, seed=seed, index=index)]

    assert first((a, b)) == first((b, a))
    if a != b:
        assert reversed_order(question, answers, seed=seed, index=index) != reversed_order(
            question, answers, seed=seed, index=index + 1
        )


def test_orders_are_random_over_pairs():
    flips = [reversed_order(f"question {i}", ("a", "b"), seed=0, index=0) for i in range(400)]
    assert 160 < sum(flips) < 240


def test_a_verdict_is_told_of_the_answers_as_they_were_given():
    assert [as_given(v, was_reversed=True) for v in ("A", "B", "tie")] == ["B", "A", "tie"]
    assert [as_given(v, was_reversed=False) for v in ("A", "B", "tie")] == ["A", "B", "tie"]
