"""Judgements by rule: they say what the rubric says, in a form that a judge's reply has."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.sample import Status
from afterbase.data.domains import chat
from afterbase.data.generate.critique import critique, grade_by_rule
from afterbase.reward.judge import Case, read
from afterbase.rollout.chat_model import Reply
from afterbase.verify.rubric import check_rubric, failed_items

SEEDS = st.integers(0, 10_000)


def drafts(seed: int) -> tuple[chat.Problem, str, str]:
    rng = random.Random(seed)
    problem = chat.problem(rng)
    return problem, chat.good_response(problem, rng), chat.flawed_response(problem, rng)[0]


@given(SEEDS)
def test_the_highest_score_is_the_rubrics_word(seed):
    problem, *answers = drafts(seed)
    for answer in answers:
        _, score = critique(answer, problem.spec)
        assert (score == 10) == (check_rubric(response=answer, spec=problem.spec).status is Status.OK)
        assert 1 <= score <= 10


@given(SEEDS, st.text(max_size=80))
def test_more_failures_never_score_higher(seed, text):
    problem, good, flawed = drafts(seed)
    answers = [good, flawed, text, f"{flawed} {flawed}"]
    scores = [(len(failed_items(a, problem.spec)), critique(a, problem.spec)[1]) for a in answers]
    for failures, score in scores:
        for others, other in scores:
            assert failures >= others or score >= other


@given(SEEDS, st.text(max_size=40))
def test_every_judgement_reads_back_as_its_verdict(seed, text):
    problem, good, flawed = drafts(seed)
    for answers in [(good, flawed), (flawed, good), (good, good), (text, good)]:
        case = Case(kind="compare", question=problem.prompt, answers=answers)
        judgement = grade_by_rule(case, problem.spec)
        assert read(case, Reply(text=judgement.text)) == judgement
        first, second = (critique(a, problem.spec)[1] for a in answers)
        assert judgement.verdict == ("tie" if first == second else "A" if first > second else "B")
    case = Case(kind="score", question=problem.prompt, answers=(text,))
    assert read(case, Reply(text=grade_by_rule(case, problem.spec).text)) == grade_by_rule(case, problem.spec)


SPEC = {
    "sentences": [1, 2], "words": [2, 20], "must_mention": [["tea"]], "persona_marks": ["arr"], "must_not": ["coffee"],
}  # fmt: skip


def test_the_chain_names_what_it_finds():
    assert critique("Arr, here is tea.", SPEC) == (
        "Topic: tea.\nPart: arr.\nWrong words: none.\nSentences: 1 Arr,, 1 to 2.\nForm: good.", 10,
    )  # fmt: skip
    assert critique("Hot coffee. Hot coffee. Hot", SPEC) == (
        "Topic: no tea.\nPart: no arr.\nWrong words: coffee.\nSentences: 1 Hot 2 Hot 3 Hot, not 1 to 2.\n"
        "Form: repeats itself, cut off.", 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "verdict", "said"),
    [("It is tea.", "yes", "tea"), ("It is coffee.", "no", "coffee"), ("Tea or coffee.", "no", "tea, coffee"),
     ("", "no", "nothing of it")],
)  # fmt: skip
def test_a_match_says_the_right_answer_and_no_wrong_one(answer, verdict, said):
    case = Case(kind="match", question="What do they drink?", answers=(answer,), gold="They drink tea.")
    judgement = grade_by_rule(case, SPEC)
    assert judgement.verdict == verdict
    assert judgement.text.startswith(f"Right: They drink tea.\nSaid: {said}.\nVerdict ")
