import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.data.generate.selection import (
    BUCKETS,
    Candidate,
    Rules,
    after_first_answer,
    bucket,
    by_difficulty,
    chain,
    chosen,
    faults,
    reflections,
    reflects,
    too_easy,
)


def candidates(*texts: str, tokens: list[int] | None = None, rewards: list[float] | None = None) -> list[Candidate]:
    lengths, values = tokens or [len(t.split()) for t in texts], rewards or [1.0] * len(texts)
    return [Candidate(t, n, r) for t, n, r in zip(texts, lengths, values, strict=True)]


def test_the_chain_is_what_is_thought_or_everything():
    assert chain("<think>a</think>b") == "a"
    assert chain("a</think>b") == "a"
    assert chain("all of it") == "all of it"


@pytest.mark.parametrize(
    ("text", "answer", "share"),
    [
        ("1 + 1 = 2.", "2", 0.0),
        ("So x is 42. Let me check: 6 * 7.", "42", 20 / 32),
        ("<think>It is 2. Yes, 2.</think>\\boxed{2}", "2", 7 / 16),
        ("因此答案是 3。再检查一次。", "3", 6 / 14),
        ("We have 12 apples and 25 pears.", "2", None),
        ("x = 2.5 is too much", "2", None),
        ("It is 20 and then 2 more", "2", None),
    ],
)
def test_the_share_after_the_first_statement_of_the_answer(text, answer, share):
    found = after_first_answer(text, answer)
    assert found == share if share is None else found == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Wait, is that so? Hmm. Let me double-check. Alternatively, add.", 4),
        ("Oh wait. But wait!", 2),
        ("等等，不对。让我再算一次。", 3),
        ("Let me check the waiter, who waits for no one.", 1),
        ("The wait was long. They let me verify it.", 0),
        ("<think>Wait.</think>Wait. Wait.", 1),
    ],
)
def test_turning_back_is_counted_where_a_sentence_does_it(text, count):
    assert reflections(text) == count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 + 4 = 7. Check: 7 - 4 = 3. Right.", True),
        ("Wait, let me see", True),
        ("不对。", True),
        ("Awaiting 7", False),
        ("The wait was long: 7", False),
        ("7</think>Check: 7", False),
    ],
)
def test_a_chain_that_looks_again_reflects(text, expected):
    assert reflects(text) is expected


def test_each_rule_is_off_until_it_is_given():
    every = candidates("So x is 2. Wait. Wait. 因此答案是二二二二 and that is all", "a", "b", tokens=[99, 1, 1])
    assert faults(every, Rules(), answer="2") == [None] * 3
    named = {
        "mixed language": Rules(one_language=True),
        "overthinking: after the answer": Rules(after_answer=0.2),
        "overthinking: reflections": Rules(reflections=1),
        "overthinking: longer than its like": Rules(length_ratio=3.0),
    }
    for name, rules in named.items():
        first, *others = faults(every, rules, answer="2")
        assert first is not None
        assert first[0] == name
        assert others == [None, None]


def test_two_right_answers_are_no_distribution():
    assert faults(candidates("a", "b", tokens=[99, 1]), Rules(length_ratio=2.0), answer=None) == [None, None]
    scores = faults(candidates("a", "b", "c", tokens=[99, 1, 10]), Rules(length_ratio=2.0), answer=None)
    assert scores == [("overthinking: longer than its like", 9.9), None, None]


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.0, 0.5, 1.0])), max_size=8), st.integers(1, 5))
def test_the_choice_is_as_said(drawn, most):
    answers = candidates(
        *(f"{i}" for i in range(len(drawn))), tokens=[t for t, _ in drawn], rewards=[r for _, r in drawn]
    )
    shortest = chosen(answers, Rules(), most)
    assert shortest == sorted(range(len(drawn)), key=lambda i: (drawn[i][0], i))[:most]
    best = chosen(answers, Rules(choose="best"), most)
    assert best == sorted(range(len(drawn)), key=lambda i: (-drawn[i][1], drawn[i][0], i))[:most]
    diverse = chosen(answers, Rules(choose="diverse"), most)
    assert len(set(diverse)) == len(diverse) == min(most, len(drawn))
    assert diverse[:1] == shortest[:1]


def test_diverse_answers_are_unlike_one_another():
    a, b = "first we add the two numbers and then halve", "by symmetry each side weighs the same as the other"
    answers = candidates(a, a + " it", a + " them", b + " and so on and so forth")
    assert chosen(answers, Rules(choose="diverse"), 2) == [0, 3]
    assert chosen(answers, Rules(), 2) == [0, 1]


@pytest.mark.parametrize(("rate", "number"), [(0.0, 0), (0.2, 0), (0.21, 1), (0.8, 3), (0.81, 4), (1.0, 4)])
def test_solve_rates_fall_into_buckets(rate, number):
    assert bucket(rate) == number


def test_every_bucket_is_told_even_if_empty():
    assert list(by_difficulty([0.1, 1.0, 1.0]).values()) == [1, 0, 0, 0, 2]


@given(st.lists(st.sampled_from([0.1, 0.5, 0.9, 1.0]), min_size=1, max_size=40), st.sampled_from([0.1, 0.25, 0.5, 0.8]))
def test_easy_answers_are_cut_to_their_share_and_no_further(rates, share):
    ids = [f"{i:02}" for i in range(len(rates))]
    easy = {i for i, rate in zip(ids, rates, strict=True) if rate > BUCKETS[-2]}
    if len(easy) == len(ids):
        with pytest.raises(UserError, match="others beside them"):
            too_easy(ids, rates, share)
        return
    dropped = too_easy(ids, rates, share)
    assert set(dropped) <= easy
    left = len(easy) - len(dropped)
    others = len(ids) - len(easy)
    assert left <= share * (left + others) + 1e-6
    assert not dropped or left + 1 > share * (left + 1 + others) - 1e-6
