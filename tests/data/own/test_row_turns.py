"""Rows of every form as turns: who is trained, where a prompt ends, and what is odd of one row."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.own.row_turns import (
    Labelled,
    Preference,
    WrongRowError,
    answered,
    labelled,
    plain_text,
    preference,
    prompt_alone,
)

USER, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
OTHER = {"role": "assistant", "content": "c"}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"type": "function", "function": {"name": "now", "arguments": {}}}
TOOL = {"type": "function", "function": {"name": "now"}}


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("chat", {"messages": [USER, ANSWER]}),
        ("chat", {"messages": [{"role": "system", "content": ""}, USER, ANSWER]}),
        ("chat", {"messages": json.dumps([USER, ANSWER])}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}),
        ("sharegpt", {"conversation": [USER, ANSWER]}),
        ("alpaca", {"instruction": "a", "output": "b"}),
        ("alpaca", {"instruction": "a", "input": "", "response": "b", "history": []}),
        ("prompt_completion", {"prompt": "a", "completion": "b"}),
        ("prompt_completion", {"prompt": [USER], "completion": [ANSWER]}),
        ("prompt_completion", {"prompt": json.dumps([USER]), "response": "b"}),
        ("prompt_completion", {"question": "a", "answer": "b"}),
        ("prompt_completion", {"prompt": "\n\nHuman: a\n\nAssistant:", "completion": "b"}),
        ("prompt_completion", {"prompt": {"role": ["user"], "content": ["a"]}, "completion": ANSWER}),
    ],
)
@pytest.mark.parametrize("trained", ["all", "last"])
def test_every_form_of_one_exchange_is_the_same_conversation(form, row, trained):
    found = answered(row, form, trained)
    assert (found.messages, found.untrained) == ([USER, ANSWER], [])
    with_system = answered({**row, "system": "Be brief."}, form, trained)
    assert with_system.messages == [SYSTEM, USER, ANSWER]


def test_alpacas_parts_are_one_conversation():
    row = {"instruction": "Add.", "input": "1 2", "output": "3", "history": [["Hello", "Hi"]], "system": "Be brief."}
    found = answered(row, "alpaca", "all")
    assert [turn["content"] for turn in found.messages] == ["Be brief.", "Hello", "Hi", "Add.\n1 2", "3"]
    assert found.untrained == []
    as_text = answered({**row, "history": json.dumps(row["history"])}, "alpaca", "last")
    assert (as_text.messages, as_text.untrained) == (found.messages, [2])


def test_a_number_is_a_text():
    assert answered({"question": "1+1?", "answer": 2}, "prompt_completion", "all").messages[1]["content"] == "2"


@pytest.mark.parametrize("answer", ["[[1, 2], [3, 4]]", '[{"role": "admin", "name": "b"}]', '[{"from": "a"}]', "[]"])
def test_an_answer_in_json_is_a_text(answer):
    found = answered({"prompt": "a", "completion": answer}, "prompt_completion", "all")
    assert found.messages == [USER, {"role": "assistant", "content": answer}]


def test_answers_of_a_prompt_are_context_and_marks_of_turns_count():
    row = {"prompt": [USER, ANSWER, USER], "completion": [ANSWER], "system": "Be brief."}
    assert answered(row, "prompt_completion", "all").untrained == [2]
    turns = [USER, {**ANSWER, "weight": 0}, USER, ANSWER, USER, {**ANSWER, "train": True}]
    assert answered({"messages": turns}, "chat", "all").untrained == [1]
    assert answered({"messages": turns}, "chat", "last").untrained == [1, 3]
    assert answered({"messages": [USER, ANSWER, USER]}, "chat", "last").untrained == []


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.sampled_from(["all", "last"]), st.booleans())
def test_exactly_the_wanted_turns_are_trained(marks: list[bool], trained, system: bool):
    turns = [turn for mark in marks for turn in (USER, {**ANSWER, "train": mark})]
    row = {"messages": turns, **({"system": "Be."} if system else {})}
    places = [2 * exchange + 1 + system for exchange in range(len(marks))]
    wanted = {place for place, mark in zip(places, marks, strict=True) if mark}
    wanted &= {places[-1]} if trained == "last" else set(places)
    if not wanted:
        with pytest.raises(ValueError, match="no turn is to be trained"):
            answered(row, "chat", trained)
    else:
        assert set(places) - set(answered(row, "chat", trained).untrained) == wanted


def test_tools_of_a_conversation_are_kept():
    call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    row = {"messages": [USER, call, {"role": "tool", "content": ""}, ANSWER], "tools": [TOOL]}
    found = answered(row, "chat", "all")
    assert found.extra() == {"turns": {"1": {"tool_calls": [CALL]}}, "tools": [TOOL]}
    assert found.untrained == []


@pytest.mark.parametrize(
    ("form", "row", "why"),
    [
        ("chat", {"messages": [USER]}, "no answer"),
        ("chat", {"messages": [SYSTEM]}, "no answer"),
        ("chat", {"messages": [ANSWER, USER, ANSWER]}, "begins with an answer"),
        ("chat", {"messages": [SYSTEM, ANSWER]}, "begins with an answer"),
        ("chat", {"messages": [USER, {**ANSWER, "content": " "}]}, "turn 1, the assistant's, is empty"),
        ("chat", {"messages": [{**USER, "content": ""}, ANSWER]}, "turn 0, the user's, is empty"),
        ("chat", {"messages": "hello"}, "`messages` is a str and no list of turns"),
        ("chat", {"messages": []}, "no turns"),
        ("chat", {"messages": [None, USER]}, "turn 0 is no object"),
        ("chat", {"messages": [USER, {"role": "assistant", "content": None}]}, "turn 1 holds null"),
        ("chat", {"messages": [USER, {"role": None, "content": "b"}]}, "a role that is no text"),
        ("chat", {"messages": 7}, "`messages` is a int and no list"),
        ("alpaca", {"instruction": "a", "output": "b", "history": ["x"]}, "`history` is no list"),
        ("alpaca", {"instruction": "a", "output": ["b"]}, "turn 1 is no object"),
        ("prompt_completion", {"prompt": True, "completion": "b"}, "a bool stands"),
        ("prompt_completion", {"prompt": "a", "completion": float("nan")}, "nan stands"),
        ("prompt_completion", {"prompt": {"text": "a"}, "completion": "b"}, "an object stands"),
    ],
)
def test_odd_conversations_are_told(form, row, why):
    with pytest.raises(ValueError, match=why):
        answered(row, form, "all")


def test_a_role_that_nobody_knows_ends_the_reading():
    with pytest.raises(WrongRowError) as raised:
        answered({"messages": [USER, {"role": "assitant", "content": "b"}]}, "chat", "all")
    assert raised.value.got == "turn 1 is of the role `assitant`"


def test_texts_are_texts():
    assert plain_text({"text": " a "}) == " a "
    for text, why in (("", "empty"), (["a"], "a list stands")):
        with pytest.raises(ValueError, match=why):
            plain_text({"text": text})


HH = "\n\nHuman: a\n\nAssistant: "


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"question": "a", "chosen": "b", "rejected": "c"},
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [OTHER]},
        {"prompt": [USER], "chosen": "b", "rejected": "c"},
        {"prompt": "a", "chosen": [USER, ANSWER], "rejected": [USER, OTHER]},
        {"prompt": " a\n", "chosen": [USER, ANSWER], "rejected": [USER, OTHER]},
        {"chosen": [USER, ANSWER], "rejected": [USER, OTHER]},
        {"chosen": json.dumps([USER, ANSWER]), "rejected": json.dumps([USER, OTHER])},
        {"chosen": HH + "b", "rejected": HH + "c"},
        {"prompt": HH, "chosen": "b", "rejected": "c"},
        {"prompt": "a", "messages": [USER, ANSWER], "chosen": [USER, ANSWER], "rejected": [USER, OTHER]},
        {
            "conversations": [{"from": "human", "value": "a"}],
            "chosen": {"from": "gpt", "value": "b"},
            "rejected": {"from": "gpt", "value": "c"},
        },
    ],
)
def test_every_form_of_a_preference_is_the_same_pair(row):
    assert preference(row) == Preference([USER], "b", "c", None)
    assert preference({**row, "system": "Be brief."}).prompt == [SYSTEM, USER]


def test_the_longest_shared_prompt_is_the_prompt():
    turns = [SYSTEM, USER, ANSWER, USER]
    pair = {"chosen": [*turns, ANSWER], "rejected": [*turns, OTHER]}
    for prompt in ({}, {"prompt": "a"}, {"prompt": turns}, {"prompt": turns[1:]}):
        assert preference({**prompt, **pair}) == Preference(turns, "b", "c", None)
    alpaca = {"instruction": "Add.", "input": "1 2", "chosen": "3", "rejected": "4"}
    assert preference(alpaca).prompt == [{"role": "user", "content": "Add.\n1 2"}]


turn_lists = st.lists(st.sampled_from([("user", "x"), ("user", "y"), ("assistant", "z")]), max_size=4)


@given(turn_lists, st.text(min_size=1), st.text(min_size=1))
def test_a_pair_comes_out_of_two_conversations_as_it_went_in(turns, chosen: str, rejected: str):
    prompt = [{"role": role, "content": text} for role, text in [*turns, ("user", "q")]]
    if not (chosen.strip() and rejected.strip()) or chosen.strip() == rejected.strip():
        return
    sides = ([*prompt, {"role": "assistant", "content": text}] for text in (chosen, rejected))
    assert preference(dict(zip(("chosen", "rejected"), sides, strict=True))) == Preference(
        prompt, chosen, rejected, None
    )


@pytest.mark.parametrize(
    ("scores", "margin"),
    [
        ({}, None),
        ({"margin": 2}, 2.0),
        ({"score_chosen": 8, "score_rejected": 6.5}, 1.5),
        ({"chosen_rating": 5, "rejected_rating": 1}, 4.0),
        ({"score_chosen": 8}, None),
    ],
)
def test_margins_are_read(scores, margin):
    assert preference({"prompt": "a", "chosen": "b", "rejected": "c", **scores}).margin == margin


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "b "}, "are equal"),
        ({"chosen": [USER, ANSWER], "rejected": [USER, ANSWER]}, "are equal"),
        ({"prompt": "a", "chosen": "b", "rejected": ""}, "`rejected` is an empty answer"),
        ({"chosen": "b", "rejected": "c"}, "no prompt"),
        ({"chosen": [USER, ANSWER, USER, ANSWER], "rejected": [USER, OTHER]}, "`chosen` is not one answer"),
        ({"chosen": [USER], "rejected": [USER]}, "`chosen` is not one answer"),
        ({"chosen": [USER, ANSWER], "rejected": [{**USER, "content": "z"}, OTHER]}, "`chosen` is not one answer"),
        ({"prompt": "z", "chosen": [USER, ANSWER], "rejected": [USER, OTHER]}, "do not begin with the row's prompt"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "margin": float("nan")}, "no finite number"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "tools": [TOOL]}, "tools are read of conversations"),
        ({"prompt": [USER], "chosen": [{**ANSWER, "tool_calls": [CALL]}], "rejected": [OTHER]}, "tools are read"),
        ({"prompt": " ", "chosen": "b", "rejected": "c"}, "a turn of the prompt is empty"),
    ],
)
def test_odd_preferences_are_told(row, why):
    with pytest.raises(ValueError, match=why):
        preference(row)


def test_a_margin_that_is_a_text_ends_the_reading():
    for margin in ("2", True):
        with pytest.raises(WrongRowError, match="is a number"):
            preference({"prompt": "a", "chosen": "b", "rejected": "c", "margin": margin})


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "completion": "b"},
        {"prompt": [USER], "completion": [ANSWER]},
        {"instruction": "a", "output": "b"},
        {"messages": [USER, ANSWER]},
    ],
)
@pytest.mark.parametrize(("label", "good"), [(True, True), (False, False), (1, True), (0.0, False)])
def test_labels_are_read(row, label, good):
    assert labelled({**row, "label": label}, texts=False) == Labelled([USER], "b", good)


@pytest.mark.parametrize("label", ["true", "1", 2, 0.5, [True]])
def test_a_label_that_is_no_yes_or_no_ends_the_reading(label):
    with pytest.raises(WrongRowError, match="true or false"):
        labelled({"prompt": "a", "completion": "b", "label": label}, texts=False)


def test_labels_of_a_csv_are_texts():
    for text, good in (("True", True), ("0", False), (" false ", False)):
        assert labelled({"prompt": "a", "completion": "b", "label": text}, texts=True).label is good
    with pytest.raises(WrongRowError):
        labelled({"prompt": "a", "completion": "b", "label": "good"}, texts=True)
    for odd in ({"prompt": "a"}, {"prompt": "a", "completion": " "}):
        with pytest.raises(ValueError, match="no answer"):
            labelled({**odd, "label": True}, texts=False)


@pytest.mark.parametrize(
    ("form", "row", "turns"),
    [
        ("prompts", {"prompt": "a"}, [USER]),
        ("prompts", {"prompt": [SYSTEM, USER]}, [SYSTEM, USER]),
        ("prompt_completion", {"prompt": "a", "completion": "b", "system": "Be brief."}, [SYSTEM, USER]),
        ("alpaca", {"instruction": "a", "output": "b"}, [USER]),
        ("chat", {"messages": [USER, ANSWER, USER, ANSWER]}, [USER, ANSWER, USER]),
        ("chat", {"messages": [USER]}, [USER]),
        ("preferences", {"chosen": [USER, ANSWER], "rejected": [USER, OTHER]}, [USER]),
        ("labelled", {"prompt": "a", "completion": "b", "label": True}, [USER]),
    ],
)
def test_prompts_come_from_every_form(form, row, turns):
    assert prompt_alone(row, form) == turns


@pytest.mark.parametrize("row", [{"prompt": ""}, {"prompt": [SYSTEM]}, {"prompt": "a", "tools": [TOOL]}])
def test_odd_prompts_are_told(row):
    with pytest.raises(ValueError, match="prompt"):
        prompt_alone(row, "prompts")
