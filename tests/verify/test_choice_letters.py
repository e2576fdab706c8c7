import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.choice_letters import chosen, stated

SAYING = [
    "Answer: {}",
    "**Answer:** {}",
    "### Answer\n\n{}",
    "ANSWER: {}",
    "Ans: {}",
    "Answer - {}",
    "Answer is {}",
    "The answer is {}.",
    "The correct answer is {}.",
    "The correct answer is:\n\n{}",
    "The answer must be {}",
    "Final answer: {}",
    "So the final answer is {}.",
    "The best choice is {}",
    "The correct option is: {}",
    "So {}.",
    "Therefore, {} is correct.",
    "It must be {}.",
    "I choose {}.",
    "答案：{}",
    "正确答案是{}。",
    "故选{}",
    "Antwort: {}",
    "Réponse : {}",
    "答え: {}",
    "{}",
    "Let me see.\n\n{}",
    "<think>Answer: Q</think>\nAnswer: {}",
]
DRESSES = [
    "{}",
    "({})",
    "**{}**",
    "`{}`",
    "${}$",
    "$\\mathbf{{{}}}$",
    "\\text{{{}}}",
    "$\\boxed{{{}}}$",
    "[{}]",
    '"{}"',
]
BEFORE = [
    "",
    "A is wrong, B is wrong, C is wrong and D is wrong, too.\n",
    "If the answer is B then x = 1.\n",
    "A) 1\nB) 2\nC) 3\nD) 4\n\n",
    "It can't be A. ",
    "A man walks in. ",
]


@given(
    saying=st.sampled_from(SAYING),
    dress=st.sampled_from(DRESSES),
    letter=st.sampled_from("ABCD"),
    before=st.sampled_from(BEFORE),
)
def test_a_letter_is_read_in_all_its_dresses(saying, dress, letter, before):
    assert chosen(before + "\n" + saying.format(dress.format(letter)), "ABCD") == {letter}


@given(
    saying=st.sampled_from([s for s in SAYING if "correct." not in s]),
    letters=st.lists(st.sampled_from("ABCD"), min_size=2, max_size=3, unique=True),
    between=st.sampled_from([" or ", " and ", ", ", "/", " | ", "; ", ") or ("]),
)
def test_two_letters_are_no_choice(saying, letters, between):
    listed = between.join(letters)
    assert len(chosen(saying.format(f"({listed})" if ")" in between else listed), "ABCD")) != 1
    assert len(chosen(f"\\boxed{{{listed}}}", "ABCD")) != 1


@pytest.mark.parametrize(
    ("response", "letters"),
    [
        ("Option C is right. Option A is wrong", "C"),
        ("A) is wrong, B) is wrong. So C.", "C"),
        ("The answer is not A but C", "C"),
        ("The answer is C rather than B.", "C"),
        ("The best choice is C since A and B fail.", "C"),
        ("The answer is C, but D is right as well", "CD"),
        ("The correct answer is A.\n\nB is also correct.", "AB"),
        ("Both A and C are correct.", ""),
        ("Both A and B are wrong. Therefore the answer is C.", "C"),
        ("B is not correct.", ""),
        ("The answer isn't B.", ""),
        ("Neither A nor B.", ""),
        ("I would not choose A.", ""),
        ("I wouldn't pick B.", ""),
        ("Don't choose C.", ""),
        ("I will not go with D.", ""),
        ("One should never really select A.", ""),
        ("I would not choose A. I choose B.", "B"),
        ("It is not A, so B.", "B"),
        ("A is hardly correct.", ""),
        ("A、B都对", ""),
        ("B - Paris", "B"),
        ("Answer: B) Vitamin C", "B"),
        ("Answer: D) Both A and B", "D"),
        ("Answer: E", ""),
        ("The answer is A good idea", ""),
        ("The answer is a dog", ""),
        ("I would answer a", "A"),
        ("Answer: c, since it fits", "C"),
        ("A: no\nB: no\nC: yes", "C"),
        ("答案不是A，而是B。", "B"),
        ("选项A错误，选项B正确。", "B"),
        ("不选A，选B", "B"),
        ("答案：Ｂ", "B"),
        ("الإجابة: ب", "B"),
        ("\\boxed{12} is the number. Answer: D", "D"),
        ("\\boxed{AB}", ""),
        ("<think>Maybe the answer is A.", ""),
        ("", ""),
    ],
)
def test_what_is_said_of_letters(response, letters):
    assert chosen(response, "ABCD") == set(letters)


@pytest.mark.parametrize(("answer", "letters"), [("(B) Paris", "B"), ("either A or D", "AD"), ("42", ""), ("b", "B")])
def test_what_stands_in_a_box(answer, letters):
    assert stated(answer, "ABCD") == set(letters)


@given(st.text())
def test_every_text_is_read(text):
    assert chosen(text, "ABCD") <= set("ABCD")


@pytest.mark.parametrize(
    "unit", ["A ", "A, ", "answer is ", "A is ", "so ", "(A", "\n", "not A but ", "Answer: A or B, "]
)
def test_long_texts_are_read_in_linear_time(unit):
    """One that looks again from each place is not done within the hour."""
    assert chosen(unit * (300_000 // len(unit)), "Z") == set()
