"""What a row of somebody else's file says of its turns is honoured or refused, and never dropped."""

import json

import pytest

from afterbase.data.clean.filters import malformed
from afterbase.data.formats.conversations import conversation_of

USER, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
PLAIN = [USER, ANSWER]
CALL = {"type": "function", "function": {"name": "now", "arguments": {"zone": "UTC"}}}
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
RESULT = {"role": "tool", "content": "5"}


def _with(**fields):
    return {"messages": [USER, {**ANSWER, **fields}]}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": PLAIN},
        {"messages": json.dumps(PLAIN)},
        {"messages": {"role": ["user", "assistant"], "content": ["a", "b"]}},
        {"messages": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"conversations": [{"from": "Human", "value": "a"}, {"from": "ChatGPT", "value": "b"}]},
        {"conversations": PLAIN},
        {"conversations": [{"from": "user", "value": "a"}, {"from": "model", "value": "b"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, ANSWER]},
        {"messages": PLAIN, "tools": "", "system": ""},
        _with(tool_calls=None, reasoning_content=None, weight=1),
        _with(tool_calls=[], thinking=""),
    ],
)
def test_every_form_of_turns_is_read(row):
    found = conversation_of(row)
    assert (found.messages, found.untrained, found.others) == (PLAIN, [], {})


@pytest.mark.parametrize("name", ["reasoning_content", "thinking", "reasoning"])
def test_a_thought_beside_an_answer_is_put_before_it(name):
    assert conversation_of(_with(**{name: "Hm.\n"})).messages[1]["content"] == "<think>\nHm.\n</think>\n\nb"


@pytest.mark.parametrize(
    "fields", [{"weight": 0}, {"weight": 0.0}, {"train": False}, {"trainable": False}, {"training": False}]
)
def test_a_turn_that_is_not_to_be_trained_is_context(fields):
    found = conversation_of({"messages": [USER, {**ANSWER, **fields}, USER, ANSWER], "system": "Be."})
    assert found.untrained == [2]
    assert found.others == {}


@pytest.mark.parametrize("name", ["system", "system_prompt"])
def test_a_rows_system_prompt_is_the_first_turn(name):
    found = conversation_of({"messages": [USER, {**ANSWER, "name": "Ann"}], name: "Be brief."})
    assert found.messages == [{"role": "system", "content": "Be brief."}, *PLAIN]
    assert found.others == {"2": {"name": "Ann"}}
    again = conversation_of({"messages": found.messages, name: "Be brief."})
    assert again.messages == found.messages


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "neither"),
        ({"messages": PLAIN, "conversations": PLAIN}, "both `messages`"),
        ({"messages": "hello"}, "is a text and no list"),
        ({"messages": {"role": ["user"], "content": []}}, "different lengths"),
        ({"messages": []}, "`messages` has no turns"),
        ({"messages": "[]", "system": "Be brief."}, "`messages` has no turns"),
        ({"conversations": []}, "`conversations` has no turns"),
        ({"messages": {"role": [], "content": []}}, "`messages` has no turns"),
        ({"messages": {}}, "no list of turns"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "turn 1 holds null"),
        ({"messages": [USER, {**ANSWER, "content": [None]}]}, "parts that are no text: NoneType"),
        ({"messages": ["hello"]}, "turn 0 is no object"),
        ({"messages": [{"role": "user"}]}, "turn 0 has no `content`"),
        ({"messages": [{**USER, "value": "c"}]}, "both `content` and `value`"),
        ({"messages": [{"role": 7, "content": "a"}]}, "a role that is no text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "no text: image_url"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "half a character"),
        (_with(tool_calls=[{"id": "c1"}]), "turn 1 has a call of a tool without a `name`"),
        (_with(tool_calls=["f"]), "turn 1 has a call of a tool without a `name`"),
        (_with(tool_calls=[CALL], function_call=CALL["function"]), "both `tool_calls` and `function_call`"),
        (_with(function_call={"name": "f", "arguments": 3}), "neither an object nor a text"),
        ({"messages": [{**USER, "tool_calls": [CALL]}]}, "only the assistant's turns call them"),
        ({"conversations": [{"from": "function_call", "value": "now()"}]}, "a text and no JSON"),
        ({"messages": PLAIN, "tools": [TOOL], "functions": [TOOL]}, "both `tools` and `functions`"),
        ({"messages": PLAIN, "tools": "many"}, "`tools` is a text and no JSON"),
        ({"messages": PLAIN, "tools": ["now"]}, "`tools` is no list of objects"),
        (_with(weight=0.5), "`weight` 0.5"),
        (_with(weight="0"), "`weight` '0'"),
        (_with(train_detail=[{"begin_offset": 0, "end_offset": 0, "train": False}]), "turn 1 has `train_detail`"),
        (_with(weight=1, train=False), "to be trained and not"),
        ({"messages": [{**USER, "train": True}, ANSWER]}, "turn 0 is the user's and to be trained"),
        (_with(thinking="x", reasoning="y"), "two thoughts"),
        ({"messages": [USER, {**ANSWER, "content": "<think>x</think>b", "thinking": "y"}]}, "two thoughts"),
        (_with(thinking=["x"]), "a thought that is no text"),
        ({"messages": [{"role": "system", "content": "A"}, *PLAIN], "system": "B"}, "say different things"),
        ({"messages": PLAIN, "system": 7}, "no text"),
    ],
)
def test_what_cannot_be_honoured_is_refused(row, why):
    with pytest.raises(ValueError, match=why):
        conversation_of(row)


@pytest.mark.parametrize(
    ("turns", "rule"),
    [
        ([USER], "turns out of order"),
        ([{"role": "system", "content": "Be brief."}], "turns out of order"),
        ([USER, {**ANSWER, "content": ""}], "empty turn"),
        ([USER, {**ANSWER, "content": []}], "empty turn"),
        ([{**USER, "content": " "}, ANSWER], "empty turn"),
    ],
)
def test_what_teaches_nothing_is_read_as_it_stands_and_dropped_with_its_reason(turns, rule):
    found = conversation_of({"messages": turns}).messages
    assert len(found) == len(turns)
    broken = malformed([(turn["role"], turn["content"]) for turn in found])
    assert broken is not None
    assert broken.rule == f"format: {rule}"


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": json.dumps([CALL])},
        {"role": "assistant", "content": "", "function_call": CALL["function"]},
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"from": "function_call", "value": json.dumps([CALL])},
    ],
)
@pytest.mark.parametrize("result", ["tool", "function", "observation", "ipython"])
def test_calls_of_tools_have_one_form(turn, result):
    row = {"messages": [USER, turn, {**RESULT, "role": result}, ANSWER], "tools": [TOOL]}
    found = conversation_of(row)
    assert found.messages == [USER, {"role": "assistant", "content": ""}, RESULT, ANSWER]
    assert found.others == {"1": {"tool_calls": [CALL]}}
    assert found.extra() == {"turns": found.others, "tools": [TOOL]}


@pytest.mark.parametrize("tools", [{"tools": json.dumps([TOOL])}, {"functions": [TOOL["function"]]}])
def test_definitions_of_tools_have_one_form(tools):
    assert conversation_of({"messages": PLAIN, **tools}).tools == [TOOL]


def test_what_belongs_to_a_call_is_kept():
    call = {"id": "c1", **CALL, "function": {**CALL["function"], "arguments": '{"zone": "UTC"}'}}
    answer = {**RESULT, "tool_call_id": "c1", "name": "now"}
    found = conversation_of({"messages": [USER, {**ANSWER, "tool_calls": [call]}, answer], "system": "Be."})
    assert found.others == {"2": {"tool_calls": [call]}, "3": {"tool_call_id": "c1", "name": "now"}}
    assert found.messages[2] == ANSWER
    bare = {"id": "c1", "name": "now"}
    assert conversation_of({"messages": [USER, {**ANSWER, "tool_calls": [bare]}]}).others["1"] == {
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "now", "arguments": {}}}]
    }
