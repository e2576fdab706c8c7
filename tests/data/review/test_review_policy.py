import pytest
from pydantic import ValidationError

from afterbase.data.review.agreement import Agreement, alpha
from afterbase.data.review.review_policy import Review, shortfall

SPLIT = [{"ada": "accept", "ben": "accept"}] * 6 + [{"ada": "accept", "ben": "reject"}] * 2


def missing(policy: Review, *, undecided: int = 0, conflicts: int = 0, units=()) -> list[str]:
    return shortfall(policy, undecided=undecided, conflicts=conflicts, agreement=lambda: alpha(list(units)))


def test_what_is_left_is_said_in_words():
    assert missing(Review()) == []
    assert missing(Review(), undecided=1, conflicts=2) == ["1 draft to review", "2 conflicts to settle"]


def test_low_agreement_holds_the_stage_back_once_everything_is_decided():
    [sentence] = missing(Review(min_alpha=0.5), units=SPLIT)
    assert sentence.startswith("an alpha of 0.5: it is -0.071 (95 % interval ")
    assert sentence.endswith(") over 8 drafts")
    assert missing(Review(min_alpha=-0.5), units=SPLIT) == []
    assert missing(Review(), units=SPLIT) == []
    assert missing(Review(min_alpha=0.5), undecided=3, units=SPLIT) == ["3 drafts to review"]


def test_agreement_is_not_computed_while_there_is_work_left():
    def never() -> Agreement:
        raise AssertionError

    assert shortfall(Review(min_alpha=0.9), undecided=1, conflicts=0, agreement=never) == ["1 draft to review"]


@pytest.mark.parametrize("units", [[], [{"ada": "accept", "ben": "accept"}] * 4])
def test_who_never_disagreed_passes(units):
    assert missing(Review(min_alpha=0.9), units=units) == []


@pytest.mark.parametrize(
    "wrong",
    [{"share": 0.0}, {"share": 1.5}, {"double": -0.1}, {"min_alpha": 1.2}, {"reasons": ()}, {"order": "random"}],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Review(**wrong)
