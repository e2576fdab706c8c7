import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.reasoning import answer_of, join, part, split

TAGS = [
    ("<think>", "</think>"),
    ("<THINK>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<thoughts>", "</thoughts>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<seed:think>", "</seed:think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
]
words = st.text(st.characters(exclude_characters="<>[]◁▷|`~\"'“”‘’「」«»", exclude_categories=["Cs"]))


@pytest.mark.parametrize(("opening", "closing"), TAGS)
@given(thought=words, answer=words)
def test_thought_and_answer_are_told_apart(opening, closing, thought, answer):
    assert answer_of(f"{opening}{thought}{closing}{answer}") == answer
    assert answer_of(f" \n{opening}\n{thought}\n{closing}{answer}") == answer
    assert answer_of(f"{thought}{closing}{answer}") == answer  # the prompt has opened it
    assert answer_of(f"{opening}{thought}\n{answer}") is None
    assert answer_of(f"{opening}{thought}{closing}{answer}\n{opening}{thought}") is None


@given(st.text())
def test_an_answer_has_no_thought_any_more(text):
    answer = answer_of(text)
    assert answer is None or answer_of(answer) == answer


@pytest.mark.parametrize(
    ("response", "thought", "answer"),
    [
        ("4", None, "4"),
        ("", None, ""),
        (" 4\n", None, " 4\n"),
        ("<think></think>4", None, "4"),
        ("<think>a</think>", "a", ""),
        ("<think>a", "a", None),
        ("Sure. <think>a</think>4", "Sure. <think>a", "4"),
        ("<think>```\na```</think>4", "```\na```", "4"),  # a block that the thought leaves open
        ("so 4 <think>", None, "so 4 <think>"),  # in the middle of a line
        ("Between `<think>` and `</think>`.", None, "Between `<think>` and `</think>`."),
        ("x.split('</think>')", None, "x.split('</think>')"),
        ("<think>I close with `</think>`.</think>4", "I close with `</think>`.", "4"),
        ("<think>a</think>b\n<think>c</think>d", "a</think>b\n<think>c", "d"),
        ("<|im_start|>assistant\n<think>a</think>4", "<|im_start|>assistant\n<think>a", "4"),
        ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>4<|end_of_solution|>", "a", "4"),
        ("<|channel|>final<|message|>4<|return|>", None, "4"),
        ("<thinking>a\n<reflection>b</reflection>\nc</thinking>4", "a\n<reflection>b</reflection>\nc", "4"),
        ("<think>a[/THINK]b</think>4", "a[/THINK]b", "4"),  # another family's tag
    ],
)
def test_cases(response, thought, answer):
    assert part(response) == (thought, answer)


def test_an_example_in_a_block_is_no_thought():
    shown = "The form is:\n```\n<think>\nreasoning\n</think>\nanswer\n```\nThat is all."
    assert part(shown) == (None, shown)
    assert part(f"<think>a</think>{shown}") == ("a", shown)


@pytest.mark.parametrize(
    "unit",
    ["<think>", "</think>", "\n<think>x</think>", "```\n<think>\n```\n", "`<think>`", "\n", " ", "<|a|>", "> - "],
)
def test_a_megabyte_is_read_in_linear_time(unit):
    """One that looks again from each tag is not done within the hour."""
    assert answer_of(unit * (1_000_000 // len(unit)) + "</think>4") == "4"


WORDS = st.text(st.characters(exclude_characters="<>"), min_size=1).map(str.strip).filter(bool)


@pytest.mark.parametrize(
    ("given_text", "reasoning", "expected"),
    [
        ("4", "2+2", ("2+2", "4")),
        ("4", " ", (None, "4")),
        ("<think>\n2+2\n</think>\n\n4", None, ("2+2", "4")),
        ("2+2</think>4", None, ("2+2", "4")),
        ("<think></think>4", None, (None, "4")),
        ("<think>cut off", None, ("cut off", "")),
        ("so 4 <think>", None, (None, "so 4 <think>")),
        (" 4\n", None, (None, " 4\n")),
    ],
    ids=["field", "empty field", "tags", "closing tag", "empty tags", "cut off", "tag later", "none"],
)
def test_reasoning_is_told_from_the_answer(given_text, reasoning, expected):
    assert split(given_text, reasoning) == expected


@given(reasoning=WORDS, answer=WORDS)
def test_tags_are_read_as_they_are_written(reasoning, answer):
    assert split(join(reasoning, answer, "tags")) == (reasoning, answer)
    assert join(reasoning, answer, "plain") == f"{reasoning}\n\n{answer}"
    assert join(reasoning, answer, "dropped") == join(None, answer, "tags") == answer
