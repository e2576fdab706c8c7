"""The form of a row is told by its columns, and a column that is nearly named as a known one is found."""

import pytest

from afterbase.data.own.row_forms import FORMS, form_of, has_form, missing, misspelt, used


@pytest.mark.parametrize(
    ("columns", "form"),
    [
        ("messages", "chat"),
        ("messages tools id source", "chat"),
        ("prompt prompt_id messages", "chat"),
        ("conversations", "sharegpt"),
        ("conversation model language", "sharegpt"),
        ("instruction input output", "alpaca"),
        ("instruction input output text", "alpaca"),
        ("instruction input output prompt", "alpaca"),
        ("instruction context response category", "alpaca"),
        ("prompt completion", "prompt_completion"),
        ("prompt response", "prompt_completion"),
        ("question answer", "prompt_completion"),
        ("system_prompt question response id", "prompt_completion"),
        ("problem solution answer", "prompt_completion"),
        ("input output", "prompt_completion"),
        ("query response", "prompt_completion"),
        ("text", "text"),
        ("text meta", "text"),
        ("prompt chosen rejected", "preferences"),
        ("chosen rejected", "preferences"),
        ("prompt chosen rejected messages score_chosen score_rejected", "preferences"),
        ("conversations chosen rejected", "preferences"),
        ("instruction input chosen rejected", "preferences"),
        ("prompt completion label", "labelled"),
        ("instruction output label", "labelled"),
        ("messages label", "chat"),
        ("prompt", "prompts"),
        ("question difficulty", "prompts"),
        ("chosen", None),
        ("rejected prompt", None),
        ("rating", None),
        ("message_id parent_id text role", None),
        ("", None),
    ],
)
def test_columns_tell_the_form_in_any_order(columns, form):
    assert form_of(columns.split()) == form_of(columns.split()[::-1]) == form
    assert form is None or has_form(columns.split(), form)


@pytest.mark.parametrize("form", FORMS)
def test_no_form_comes_of_nothing(form):
    assert not has_form([], form)


def test_what_a_form_lacks_is_named_by_the_columns_that_are_there():
    assert missing(["prompt"], "prompt_completion", ["prompt", "response"]) == "`response`"
    assert missing([], "preferences", ["chosen", "rejected"]) == "`chosen` and `rejected`"


@pytest.mark.parametrize(
    ("columns", "forms", "found"),
    [
        (["mesages"], FORMS, ("mesages", "messages")),
        (["Messages"], ["chat"], ("Messages", "messages")),
        (["prompt", "complation"], ["prompt_completion"], ("complation", "completion")),
        (["prompt", "chosen", "rejcted"], ["preferences"], ("rejcted", "rejected")),
        (["instruction", "inptu", "output"], ["alpaca"], ("inptu", "input")),
        (["prompt", "chosen", "rejected", "margn"], ["preferences"], ("margn", "margin")),
        (["prompt", "completion", "sytem"], ["prompt_completion"], ("sytem", "system")),
        (["messages", "conversation_id", "prompt_id"], ["chat"], None),
        (["prompt", "completion", "inputs"], ["prompt_completion"], None),
        (["prompt", "prompts"], ["prompts"], None),
        (["chosen", "rejected", "prompt_id"], ["preferences"], None),
        (["question", "answer", "solution"], ["prompt_completion"], None),
    ],
)
def test_misspelt_columns_are_found_and_others_left_alone(columns, forms, found):
    assert misspelt(columns, forms) == found


@pytest.mark.parametrize(
    "columns",
    [["messages", "kto_tag"], ["conversations", "kto_tag", "tools"], ["instruction", "input", "output", "kto_tag"]],
)
def test_a_tag_for_kto_makes_labelled_rows_of_any(columns):
    assert form_of(columns) == "labelled"
    assert "kto_tag" in used(columns, "labelled")


def test_a_tag_alone_makes_none():
    assert form_of(["kto_tag"]) is None
    assert form_of(["prompt", "kto_tag"]) == "prompts"


def test_the_columns_that_are_read_are_told():
    assert used(["instruction", "input", "output", "topic", "license"], "alpaca") == {
        "instruction", "input", "output", "license",
    }  # fmt: skip
    assert used(["prompt", "input", "chosen", "rejected"], "preferences") == {"prompt", "chosen", "rejected"}
