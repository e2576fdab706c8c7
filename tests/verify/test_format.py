import pytest

from afterbase.verify.format import Style, chain_of_thought, final_answer, thinks, well_formed

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


@pytest.mark.parametrize(
    ("response", "good"),
    [
        ("<think>Two and two.</think>It is 4.", True),
        ("\n <think>\n</think>\n4", True),
        ("<think>Two and two.</think>", False),
        ("<think>Two and two.</think> \n", False),
        ("<think>Two and two. It is 4.", False),
        ("It is 4.", False),
        ("So: <think>Two and two.</think>It is 4.", False),
        ("</think>4<think>", False),
        ("<think>a</think><think>b</think>4", False),
        ("<think>a<think>b</think>4", False),
        ("<think>a</think>b</think>4", False),
        ("Two and two.</think>It is 4.", False),
    ],
)
def test_think_tags_stand_once_in_order_with_an_answer_after_them(response: str, good: bool) -> None:
    assert thinks(response) is good


def test_a_prompt_may_have_opened_the_chain_of_thought() -> None:
    assert thinks("Two and two.</think>It is 4.", opened=True)
    assert not thinks("<think>Two and two.</think>It is 4.", opened=True)
    assert not thinks("Two and two. It is 4.", opened=True)


def test_the_chain_of_thought_is_what_the_tags_hold_or_all() -> None:
    assert chain_of_thought("<think>a</think>b") == chain_of_thought("a</think>b") == "a"
    assert chain_of_thought("a b") == "a b"
