import pytest

from afterbase.core.sample import Status
from afterbase.verify.match import check_choice, check_exact


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (r"So it is \boxed{Paris}.", "match"),
        (r"\boxed{\text{paris}}", "match"),
        (r"\boxed{ **Paris** }", "match"),
        (r"\boxed{Ｐａｒｉｓ}", "match"),
        (r"\boxed{Paris.}", "match"),
        (r"\boxed{Paris, London, Rome}", "mismatch"),
        (r"\boxed{Paris or London}", "mismatch"),
        (r"\boxed{everything}", "mismatch"),
        (r"\boxed{London} \boxed{}", "mismatch"),
        (r"\boxed{}", "mismatch"),
        ("Paris", "no_answer"),
        ("", "no_answer"),
    ],
)
def test_exact(response: str, reason: str) -> None:
    verdict = check_exact(response=response, spec={"answer": "Paris"})
    assert (verdict.reason, verdict.status is Status.OK, verdict.value) == (
        reason,
        reason == "match",
        reason == "match",
    )


def test_exact_takes_any_of_several_and_looks_where_it_is_told() -> None:
    spec = {"answer": ["New York", "NYC"], "answer_by": ["answer_is", "all"]}
    for response in ("new   york", "The answer is NYC.", "nyc"):
        assert check_exact(response=response, spec=spec).status is Status.OK
    assert check_exact(response="New York, NYC", spec=spec).status is Status.WRONG


@pytest.mark.parametrize(
    "response",
    [
        "C",
        "c",
        "(C)",
        "C.",
        "C)",
        "**C**",
        r"\boxed{C}",
        r"\boxed{\text{C}}",
        r"\boxed{(C)}",
        r"\boxed{c}",
        "The answer is C.",
        "The answer is (C).",
        "Answer: C",
        "**Answer:** C",
        "Answer: C) Rome",
        "A is wrong, B is too.\nSo the answer is C",
        "Option C",
        "The answer is C because B is no city, and D neither.",
        "The correct answer is option C.",
        "Let me think.\n\nC",
        "so it is probably C",
    ],
)
def test_choice_is_read_in_its_spellings(response: str) -> None:
    assert check_choice(response=response, spec={"answer": "C"}).reason == "match"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("The answer is everything: A, B, C and D.", "ambiguous"),
        ("A, B, C, D", "ambiguous"),
        ("A B C D", "ambiguous"),
        (r"\boxed{A, C}", "ambiguous"),
        (r"\boxed{ABCD}", "no_answer"),
        ("The answer is B or C.", "ambiguous"),
        ("The answer is either B or C", "ambiguous"),
        ("The answer is (C) and (D)", "ambiguous"),
        ("The answer is C, but D is right as well", "ambiguous"),
        ("The answer is C. No, the answer is B.", "mismatch"),
        (r"C is right. \boxed{B}", "mismatch"),
        ("The answer is all of them.", "no_answer"),
        ("The answer is E.", "no_answer"),
        ("The answer is a good one", "no_answer"),
        ("Cats are nice", "no_answer"),
        ("", "no_answer"),
        (" \n ", "no_answer"),
    ],
)
def test_choice_of_many_is_no_choice(response: str, reason: str) -> None:
    assert check_choice(response=response, spec={"answer": "C"}).reason == reason


def test_a_and_i_are_words_too() -> None:
    right = {"answer": "A"}
    for response in ("A", "The answer is A.", "It must be A.", "Answer: A) Paris", "The answer is A, because of it"):
        assert check_choice(response=response, spec=right).status is Status.OK
    for response in ("The answer is A good one.", "A good question", "The answer is a matter of taste"):
        assert check_choice(response=response, spec=right).status is Status.WRONG


def test_an_option_may_be_named_by_its_text() -> None:
    spec = {"answer": "B", "options": ["Paris", "Rome", "A good day", "I"]}
    for response in (r"\boxed{Rome}", "The answer is rome.", r"\boxed{B. Rome}", "The answer is B"):
        assert check_choice(response=response, spec=spec).status is Status.OK
    assert check_choice(response=r"\boxed{Paris, Rome}", spec=spec).status is Status.WRONG
    assert check_choice(response=r"\boxed{A good day}", spec={**spec, "answer": "C"}).status is Status.OK
    assert check_choice(response="The answer is J.", spec={"answer": "J", "options": 10}).status is Status.OK


@pytest.mark.parametrize("unit", ["A ", "\\boxed{", "answer is ", "(A", "\n"])
def test_megabytes_are_read(unit: str) -> None:
    response = unit * (500_000 // len(unit))
    assert check_choice(response=response, spec={"answer": "C"}).status is Status.WRONG
    assert check_exact(response=response, spec={"answer": "C", "answer_by": ["all"]}).status is Status.WRONG


def test_fillers_without_end_take_no_time_of_their_square() -> None:
    """In a time that grows with the square, this test would take minutes."""
    assert check_choice(response="option " * 30_000 + "x", spec={"answer": "B"}).reason == "no_answer"
