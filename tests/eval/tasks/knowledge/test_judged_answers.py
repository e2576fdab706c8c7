"""What a judge is asked, and what its reply amounts to."""

import pytest

from afterbase.eval.tasks.knowledge.judged_answers import JUDGING, item


@pytest.mark.parametrize(
    ("reply", "value", "reason"),
    [
        ("CORRECT", 1, "correct"),
        ("incorrect.", 0, "incorrect"),
        ("NOT ATTEMPTED", 0, "not_attempted"),
        ("It is not INCORRECT: CORRECT", 1, "correct"),
        ("NOT CORRECT. The response names another city.", 0, "incorrect"),
        ("INCORRECT. Had it said 1912 it would have been CORRECT.", 0, "incorrect"),
        ("PARTIALLY CORRECT", 0, "incorrect"),
        ("The response isn't correct.", 0, "incorrect"),
        ("It is INCORRECT rather than CORRECT", 0, "incorrect"),
        ('{"grade": "B", "verdict": "INCORRECT"}', 0, "incorrect"),
        ("The correct answer is Paris. The response says London: INCORRECT.", 0, "incorrect"),
        ("<think>It is INCORRECT? No, it matches.</think>\nCORRECT", 1, "correct"),
        ("**Verdict:** CORRECT", 1, "correct"),
        ("NOT-ATTEMPTED", 0, "not_attempted"),
        ("The response is correct, but hedged: INCORRECT", 0, "incorrect"),
    ],
)
def test_the_verdict_counts_and_not_what_is_said_on_the_way(reply, value, reason):
    mark = JUDGING.mark(reply)
    assert (mark.value, mark.reason, mark.failed) == (value, reason, False)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "yes",
        "INCORRECTLY",
        "CORRECT or INCORRECT?",
        "CORRECT\nINCORRECT",
        "Correct, but the date is wrong",
        "<think>It would be CORRECT",
        "neither correct nor incorrect",
        "The response gives the correct answer.",
    ],
)
def test_no_word_is_the_judges_failure(reply):
    assert JUDGING.mark(reply).failed


def test_the_judge_sees_question_answer_and_response():
    asked = JUDGING.question(item("0", "Who?", "Ada"), "It was {Ada}.")
    assert "Question: Who?\nRight answer: Ada\nResponse: It was {Ada}." in asked
