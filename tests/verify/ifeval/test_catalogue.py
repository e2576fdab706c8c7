import pytest

from afterbase.core.errors import UserError
from afterbase.verify.ifeval.catalogue import INSTRUCTIONS, build


def test_there_are_25_each_with_a_class_of_its_own() -> None:
    assert len(INSTRUCTIONS) == len(set(INSTRUCTIONS.values())) == 25


def test_none_is_as_good_as_left_out() -> None:
    kwargs = {"num_words": 2, "relation": "at least", "keyword": None, "num_bullets": None}
    assert build("length_constraints:number_words", kwargs).followed("one two")


@pytest.mark.parametrize(
    ("instruction_id", "kwargs", "rule", "got"),
    [
        ("keywords:exists", {}, "an instruction is one of IFEval's 25", "`keywords:exists`"),
        ("keywords:existence", {}, "`keywords:existence` takes keywords", "keywords: must be given"),
        ("punctuation:no_comma", {"n": 1}, "`punctuation:no_comma` takes no arguments", "n: is not known"),
        ("keywords:existence", {"keywords": ["a", "("]}, "takes keywords", "keywords.1: no regular"),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 1, "nth_paragraph": 3, "first_word": "a"},
            "takes num_paragraphs, nth_paragraph, first_word",
            "nth_paragraph 3 is beyond",
        ),
    ],
)
def test_what_is_wrong_is_told(instruction_id: str, kwargs: dict, rule: str, got: str) -> None:
    with pytest.raises(UserError) as error:
        build(instruction_id, kwargs)
    assert rule in error.value.rule
    assert error.value.got.startswith(got)
