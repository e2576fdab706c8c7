"""Answers in boxes, and what counts where there is none."""

from afterbase.eval.tasks.mathematics.boxed import any_form, item, whole
from afterbase.verify.answer_context import AnswerContext


def test_the_last_number_of_what_was_cut_off_is_no_answer() -> None:
    sum_of_two = item("1", "What is 1 + 3?", "4")
    responses = ["so there are 4", r"\boxed{4} and", "The answer is 4."]
    answered = [(sum_of_two, response) for response in responses]
    for score in (whole, any_form):
        assert [mark.value for mark in score(answered, [AnswerContext(truncated=True)] * 3)] == [0, 1, 1]
        assert [mark.value for mark in score(answered, [AnswerContext()] * 3)] == [1, 1, 1]
