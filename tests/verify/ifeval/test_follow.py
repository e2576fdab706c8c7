import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import Status
from afterbase.verify.ifeval import case_and_language as language
from afterbase.verify.ifeval.catalogue import build
from afterbase.verify.ifeval.follow import MOST_CHARACTERS, Accuracy, Reading, accuracy, check_ifeval, follows

NO_COMMA = build("punctuation:no_comma", {})
QUOTED = build("startend:quotation", {})
SHORT = build("length_constraints:number_words", {"num_words": 3, "relation": "less than"})


@pytest.mark.parametrize(
    ("response", "strict", "loose"),
    [
        ('"a"', True, True),
        ('Sure:\n"a"', False, True),
        ('"a"\nHope that helps', False, True),
        ('Sure:\n"a"\nHope that helps', False, True),
        ('Sure:\nyes\n"a"', False, False),
        ('*"a"*', False, True),
        ('Sure:\n**"a"**\nBye', False, True),
        ("", False, False),
    ],
)
def test_loose_forgives_first_and_last_lines_and_asterisks(response: str, strict: bool, loose: bool) -> None:
    assert follows(QUOTED, response, reading=Reading.STRICT) is strict
    assert follows(QUOTED, response, reading=Reading.LOOSE) is loose


def test_an_empty_reading_follows_nothing() -> None:
    assert NO_COMMA.followed(" \n")
    assert not follows(NO_COMMA, " \n", reading=Reading.STRICT)
    assert not follows(NO_COMMA, "a, b", reading=Reading.LOOSE), "nothing is left without the only line"


@given(st.text(alphabet='a",* \n'))
def test_strict_implies_loose(response: str) -> None:
    for instruction in (NO_COMMA, QUOTED, SHORT):
        strict = follows(instruction, response, reading=Reading.STRICT)
        assert strict <= follows(instruction, response, reading=Reading.LOOSE)


def test_accuracies() -> None:
    answers = [([NO_COMMA, SHORT], "a b"), ([NO_COMMA, SHORT], "a b c"), ([QUOTED], 'Sure:\n"a"')]
    assert accuracy(answers, reading=Reading.STRICT) == Accuracy(prompt=1 / 3, instruction=3 / 5)
    assert accuracy(answers, reading=Reading.LOOSE) == Accuracy(prompt=2 / 3, instruction=4 / 5)
    with pytest.raises(UserError, match="at least one instruction"):
        accuracy([], reading=Reading.STRICT)


SPEC = {
    "instructions": [
        {"id": "punctuation:no_comma", "kwargs": {}},
        {"id": "length_constraints:number_words", "kwargs": {"num_words": 3, "relation": "less than"}},
        {"id": "detectable_format:title"},
    ]
}


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("<<a>> b", "followed"),
        ("a, b c d", "punctuation:no_comma"),
        ("a b c d", "length_constraints:number_words"),
        ("a b", "detectable_format:title"),
        ("", "punctuation:no_comma"),
    ],
)
def test_a_verdict_names_the_first_instruction_that_is_not_followed(response: str, reason: str) -> None:
    verdict = check_ifeval(response=response, spec=SPEC)
    ok = reason == "followed"
    assert (verdict.verifier, verdict.reason) == ("ifeval", reason)
    assert (verdict.status, verdict.value) == ((Status.OK, 1.0) if ok else (Status.WRONG, 0.0))


def test_a_spec_may_ask_for_the_loose_reading() -> None:
    response = "Well, well:\n<<a>> b"
    assert check_ifeval(response=response, spec=SPEC).status is Status.WRONG
    assert check_ifeval(response=response, spec={**SPEC, "reading": "loose"}).status is Status.OK


def test_a_tokenizer_that_gives_up_is_no_fault_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(text: str) -> list[str]:
        raise TimeoutError

    monkeypatch.setattr(language, "words", give_up)
    kwargs = {"capital_frequency": 1, "capital_relation": "at least"}
    spec = {"instructions": [{"id": "change_case:capital_word_frequency", "kwargs": kwargs}]}
    verdict = check_ifeval(response="A", spec=spec)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "timeout")


@pytest.mark.parametrize(("characters", "status"), [(MOST_CHARACTERS, Status.OK), (MOST_CHARACTERS + 1, Status.WRONG)])
def test_what_is_far_longer_than_an_answer_follows_nothing(characters: int, status: Status) -> None:
    spec = {"instructions": [{"id": "punctuation:no_comma", "kwargs": {}}]}
    assert check_ifeval(response="a" * characters, spec=spec).status is status


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"instructions": []},
        {"instructions": None},
        {"instructions": ["punctuation:no_comma"]},
        {"instructions": [{"kwargs": {}}]},
        {"instructions": [{"id": "punctuation:no_comma", "kwargs": 3}]},
        {"instructions": [{"id": "no such"}]},
        {**SPEC, "reading": "lenient"},
    ],
    ids=str,
)
def test_a_malformed_spec_is_refused(spec: dict) -> None:
    with pytest.raises(UserError):
        check_ifeval(response="a", spec=spec)
