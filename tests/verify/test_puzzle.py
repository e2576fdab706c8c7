import pytest

from afterbase.core.sample import Status
from afterbase.verify.puzzle import check_puzzle

ENTRY = {
    "question": "Emma and Liam ...",
    "answer": "Emma is a knight, and Liam is a knave.",
    "metadata": {"source_dataset": "knights_knaves"},
}


@pytest.mark.parametrize(
    ("response", "status", "reason"),
    [
        (r"\boxed{Emma is a knight, and Liam is a knave}", Status.OK, "match"),
        (r"\boxed{Liam is a knave, Emma is a knight.}", Status.OK, "match"),
        (r"\boxed{Emma is a knight, and Liam is a knight}", Status.WRONG, "mismatch"),  # the scorer itself says 0.65
        (r"\boxed{Emma is a knight}", Status.WRONG, "mismatch"),
        (r"\boxed{}", Status.WRONG, "mismatch"),
        ("Emma is a knight, and Liam is a knave", Status.WRONG, "no_box"),
    ],
)
def test_all_of_it_or_nothing(response: str, status: Status, reason: str) -> None:
    verdict = check_puzzle(response=response, dataset="knights_knaves", entry=ENTRY)
    assert (verdict.status, verdict.reason, verdict.value) == (status, reason, float(status is Status.OK))


def test_a_scorer_that_refuses_the_right_answer_has_failed() -> None:
    verdict = check_puzzle(response=r"\boxed{4}", dataset="no_such_dataset", entry=ENTRY)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "verifier_error")


def test_a_scorer_that_raises_on_nonsense_only_is_not_at_fault() -> None:
    # prime_factorization calls int() on whatever stands between the signs.
    entry = {"question": "", "answer": "2 × 3", "metadata": {"number": 6}}
    right, nonsense = (
        check_puzzle(response=rf"\boxed{{{answer}}}", dataset="prime_factorization", entry=entry)
        for answer in ("2 × 3", "two")
    )
    assert (right.status, nonsense.status, nonsense.reason) == (Status.OK, Status.WRONG, "mismatch")
