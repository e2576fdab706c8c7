import pytest

from afterbase.verify.format import Style, final_answer, well_formed

BLOCK = "```python\ndef f(x):\n    return x\n```"


@pytest.mark.parametrize(
    ("style", "response", "good"),
    [
        ("boxed", r"2 + 2 = \boxed{4}", True),
        ("boxed", "2 + 2 = $\\boxed{4}$.\n", True),
        ("boxed", r"\boxed{4} is the answer", False),
        ("boxed", r"\boxed{4}, no, \boxed{5}", False),
        ("boxed", r"\boxed{4", False),
        ("boxed", "4", False),
        ("python", BLOCK, True),
        ("python", f"A plan.\n{BLOCK}\nDone.", True),
        ("python", f"{BLOCK}\n{BLOCK}", False),
        ("python", f"{BLOCK}\n```python\ndef", False),
        ("python", BLOCK.removesuffix("```"), False),
        ("python", "def f(x): return x", False),
        ("plain", "Good morning!", True),
        ("plain", " \n", False),
        ("plain", r"Good morning! \boxed{4}", False),
    ],
)
def test_well_formed(style: Style, response: str, good: bool) -> None:
    assert well_formed(response, style=style) is good


@pytest.mark.parametrize(
    ("style", "response", "answer"),
    [
        ("boxed", r"\boxed{1,000}", "1000"),
        ("boxed", r"\boxed{+0.50}", "1/2"),
        ("boxed", r"\boxed{1/2}", "1/2"),
        ("boxed", "\\boxed{ Emma  is a\nknight }", "Emma is a knight"),
        ("boxed", "4", None),
        ("python", BLOCK, None),
        ("plain", r"\boxed{4}", None),
    ],
)
def test_votes_are_counted_by_one_spelling(style: Style, response: str, answer: str | None) -> None:
    assert final_answer(response, style=style) == answer
