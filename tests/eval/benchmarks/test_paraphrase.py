import random

from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.domains import chat
from afterbase.eval.benchmarks.paraphrase import paraphrase
from afterbase.verify.rubric import Reason, check_rubric, sentences


def test_rules_go_both_ways_and_keep_capitals():
    assert paraphrase("Do not shut it. It's big.") == "Don't shut it. It is large."
    assert paraphrase("Everyone isn't here.") == "Everybody is not here."


def test_words_within_words_stay():
    assert paraphrase("The bigger nearest pigs.") is None
    assert paraphrase("") is None


@given(st.text(max_size=100))
def test_any_text_is_paraphrased_or_left(text):
    said = paraphrase(text)
    assert said is None or said != text


@given(st.integers(0, 5_000))
def test_what_an_annotator_says_of_a_chat_answer_does_not_change(seed):
    rng = random.Random(seed)
    problem = chat.problem(rng)
    for answer in (chat.good_response(problem, rng), chat.flawed_response(problem, rng)[0]):
        said = paraphrase(answer)
        if said is not None:
            assert len(sentences(said)) == len(sentences(answer))
            before, after = (check_rubric(response=text, spec=problem.spec) for text in (answer, said))
            if not {before.reason, after.reason} & {
                Reason.TOO_LONG,
                Reason.TOO_SHORT,
            }:  # contractions count as one word
                assert before.status == after.status
