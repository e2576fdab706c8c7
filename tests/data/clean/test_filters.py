import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.clean.filters import (
    Broken,
    Filters,
    first_broken,
    in_two_languages,
    length,
    malformed,
    private,
    repetition,
    run_of_one_character,
)
from afterbase.data.clean.shingles import tokens

GOOD = [("user", "Why is the sky blue?"), ("assistant", "Because air scatters blue light most.")]


def answered(text: str) -> list[tuple[str, str]]:
    return [GOOD[0], ("assistant", text)]


@pytest.mark.parametrize(
    "turns",
    [
        GOOD,
        [("system", "Be brief."), *GOOD],
        [*GOOD, ("user", "And at dusk?"), ("assistant", "Red, for then the way is long.")],
        answered("<think>Rayleigh.</think>Scattering."),
        answered("a < b | c, [i] and <|> and a\tb\r\n"),
        answered("Read https://example.com/x?a=1#b."),
        [("text", "One and one.")],
        [("prompt", "Why?")],
        [("system", "Be brief."), *GOOD, ("prompt", "And at dusk?")],
    ],
)
def test_a_conversation_in_order_is_well_formed(turns):
    assert malformed(turns) is None


@pytest.mark.parametrize(
    ("turns", "rule"),
    [
        ([], "no turn"),
        ([("system", "Be brief.")], "turns out of order"),
        (GOOD[:1], "turns out of order"),
        (GOOD[::-1], "turns out of order"),
        ([*GOOD, GOOD[0]], "turns out of order"),
        ([GOOD[0], *GOOD], "turns out of order"),
        ([*GOOD, ("system", "x"), *GOOD], "turns out of order"),
        ([GOOD[0], ("tool", "x")], "unknown role tool"),
        ([("text", "x"), *GOOD], "unknown role text"),
        ([("prompt", "x"), *GOOD], "unknown role prompt"),
        ([GOOD[0], ("prompt", "x")], "turns out of order"),
        ([("text", " ")], "empty turn"),
        (answered(" \n"), "empty turn"),
        (answered("caf\ufffd"), "broken encoding"),
        (answered("a\0b"), "control character"),
        (answered("done<|im_end|>"), "template markup"),
        (answered("done<｜end▁of▁sentence｜>"), "template markup"),
        (answered("[INST] x [/INST]"), "template markup"),
        (answered("<think>so"), "thought not closed"),
        (answered("so</think></think>x"), "thought not closed"),
        (answered("<think>so</think> "), "thought not closed"),
        (answered("<think>a</think>b<think>c"), "thought not closed"),
    ],
)
def test_a_fault_of_form_is_named(turns, rule):
    broken = malformed(turns)
    assert broken is not None
    assert broken.rule == f"format: {rule}"


@pytest.mark.parametrize(
    ("settings", "text", "broken"),
    [
        ({"shortest": 4}, "abc", Broken("length: too short", 3)),
        ({"longest": 30}, "x" * 11, Broken("length: too long", 31)),
        ({"longest_paragraph": 5}, "abc\n\nabcdef\n \nab", Broken("length: long paragraph", 6)),
        ({"code_in_thought": False}, "<think>a ```b``` c</think>d", Broken("format: code in a thought")),
        ({"code_in_thought": False}, "<think>a</think>```b```", None),
        ({"shortest": 3, "longest": 23, "longest_paragraph": 3}, "abc", None),
        ({"longest": None}, "x" * 200_000, None),
    ],
)
def test_lengths_are_held_to_their_limits(settings, text, broken):
    assert length(answered(text), Filters(**settings)) == broken


def test_the_record_of_personal_data_does_not_repeat_it():
    assert private(answered("jane@gmail.com"), ["email"]) == Broken("personal: email")
    assert private([("user", "8.8.4.4"), ("assistant", "x")], ["ip", "email"]) == Broken("personal: ip")
    assert private(GOOD, Filters().personal) is None


TWO = "So we get x=3. 因此答案是 3"


def test_rules_are_asked_in_order():
    answer = f"{TWO} jane@gmail.com"
    assert first_broken(answered(f"<think>{answer}"), Filters()) == Broken("format: thought not closed")
    assert first_broken(answered(answer), Filters(longest=9)) == Broken("length: too long", 20 + len(answer))
    assert first_broken(answered(answer), Filters()) == Broken("language: mixed")
    assert first_broken(answered(answer), Filters(one_language=None)) == Broken("personal: email")
    assert first_broken(GOOD, Filters()) is None


def test_two_languages_of_one_script_are_told_if_asked_for():
    french = answered("Il faut être prudent ici because the matrix is not invertible.")
    assert in_two_languages(french, Filters()) is None
    assert in_two_languages(french, Filters(one_language="words")) == Broken("language: mixed")
    assert in_two_languages(GOOD, Filters(one_language="words")) is None


def test_a_loop_is_repetition_and_prose_is_not():
    loop, prose = "wait, let me check. " * 40, " ".join(f"word{i}" for i in range(200))
    shares = repetition(tokens([loop, prose, "again and again", "", "因此答案是" * 30])).tolist()
    assert shares[0] > 0.9
    assert shares[1:4] == [0, 0, 0]
    assert shares[4] > 0.9


@given(st.lists(st.sampled_from("abc"), min_size=47, max_size=90))
def test_repetition_is_the_share_of_grams_seen_before(words):
    grams = [tuple(words[i : i + 8]) for i in range(len(words) - 7)]
    [share] = repetition(tokens([" ".join(words)])).tolist()
    assert share == pytest.approx(1 - len(set(grams)) / len(grams))


def test_one_character_over_and_over_is_told():
    assert run_of_one_character("ok " + "!" * 200)
    assert not run_of_one_character("-" * 199 + " " * 500 + "ha" * 300)


@given(st.text(alphabet="a!", max_size=150), st.integers(150, 260), st.text(alphabet="a!", max_size=150))
def test_a_run_is_told_wherever_it_stands(before, length, behind):
    text = before.rstrip("!") + "!" * length + behind.lstrip("!")
    longest = max(len(list(run)) for _, run in itertools.groupby(text))
    assert run_of_one_character(text) == (longest >= 200)
