import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.sample import (
    Drop,
    Problem,
    Sample,
    Status,
    Verdict,
    content_id,
    conversation,
    read_problems,
    read_samples,
    write_problems,
    write_samples,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=3)
verdicts = st.builds(
    Verdict, verifier=st.text(), status=st.sampled_from(Status), value=st.floats(0, 1), reason=st.text()
)
samples = st.builds(
    Sample,
    messages=st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text()}),
        max_size=3,
    ),
    domain=st.text(),
    kind=st.sampled_from(["original", "reflective", "curated", "open"]),
    problem_id=st.none() | st.text(),
    producer=json_objects,
    parents=st.lists(st.text(), max_size=2),
    verdicts=st.lists(verdicts, max_size=2),
    dropped=st.none() | st.builds(Drop, stage=st.text(), rule=st.text(), score=st.none() | finite),
    extra=json_objects,
)
problems = st.builds(
    Problem, domain=st.text(), prompt=st.text(), gold=st.none() | st.text(), verifier=st.text(), spec=json_objects
)

BASE = Sample(
    messages=conversation("1 + 1?", r"\boxed{2}"),
    domain="arithmetic",
    kind="original",
    problem_id="p",
    producer={"name": "teacher"},
)


@settings(max_examples=50, deadline=None)
@given(st.lists(samples, max_size=4))
def test_samples_survive_parquet(rows: list[Sample]):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samples.parquet"
        write_samples(path, rows)
        back = read_samples(path)
    assert back == rows
    assert [s.id for s in back] == [s.id for s in rows]


@settings(max_examples=50, deadline=None)
@given(st.lists(problems, max_size=4))
def test_problems_survive_parquet(rows: list[Problem]):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "problems.parquet"
        write_problems(path, rows)
        back = read_problems(path)
    assert back == rows
    assert [p.id for p in back] == [p.id for p in rows]


def test_content_id_is_frozen():
    # Artifacts on disk refer to rows by these ids: a change here orphans them.
    # By hand: printf '["arithmetic","1 + 1?"]' | sha256sum | cut -c1-16
    assert content_id("arithmetic", "1 + 1?") == "d8c56c576c02f6cb"


@given(json_objects)
def test_content_id_ignores_the_order_of_keys(value: dict[str, Any]):
    assert content_id(value) == content_id(dict(reversed(value.items())))


@given(st.text(), st.text())
def test_content_id_keeps_parts_apart(a: str, b: str):
    assert (content_id(a, b) == content_id(b, a)) == (a == b)
    assert content_id(a, b) != content_id(a + b)


@pytest.mark.parametrize(
    "change",
    [
        {"messages": conversation("1 + 1?", r"\boxed{3}")},
        {"messages": conversation("1 + 1?", r"\boxed{2}", system="Check.")},
        {"domain": "logic"},
        {"kind": "curated"},
        {"producer": {"name": "expert"}},
    ],
)
def test_sample_id_changes_with_what_was_written_and_by_whom(change: dict[str, Any]):
    assert Sample(**{**vars(BASE), **change}).id != BASE.id


def test_judging_or_dropping_a_sample_keeps_its_id():
    verdict = Verdict(verifier="maths", status=Status.OK, value=1.0, reason="match")
    assert Sample(**{**vars(BASE), "verdicts": [verdict]}).id == BASE.id
    assert BASE.drop("clean", "too_long", 900.0).id == BASE.id


def test_first_drop_stands():
    dropped = BASE.drop("curate", "wrong").drop("clean", "too_long", 900.0)
    assert dropped.dropped == Drop(stage="curate", rule="wrong", score=None)


def test_problem_id_is_about_the_question_alone():
    a = Problem(domain="maths", prompt="q", gold=None, verifier="maths", spec={"answer": "1"})
    b = Problem(domain="maths", prompt="q", gold="1", verifier="maths", spec={"answer": "2"})
    assert a.id == b.id
    assert a.id != Problem(domain="logic", prompt="q", gold=None, verifier="maths", spec={}).id


def test_conversation_puts_the_system_prompt_first():
    assert [m["role"] for m in conversation("q", "a", system="s")] == ["system", "user", "assistant"]
    assert [m["role"] for m in conversation("q", "a")] == ["user", "assistant"]
    assert Sample(**{**vars(BASE), "messages": conversation("q", "a", system="s")}).response == "a"


CALL = {"type": "function", "function": {"name": "now", "arguments": {}}}


def test_calls_of_tools_stand_in_the_turns_and_count_for_the_id():
    turns = {"1": {"tool_calls": [CALL], "mood": "calm"}, "2": {"tool_call_id": "c1", "name": "now"}}
    messages = [{"role": role, "content": ""} for role in ("user", "assistant", "tool")]
    plain = dataclasses.replace(BASE, messages=messages)
    called = dataclasses.replace(plain, extra={"turns": turns, "tools": [{"type": "function"}]})
    assert called.turns() == [
        messages[0],
        {**messages[1], "tool_calls": [CALL]},
        {**messages[2], "tool_call_id": "c1", "name": "now"},
    ]
    assert (plain.turns(), plain.tools, called.tools) == (messages, None, [{"type": "function"}])
    ids = {s.id for s in (plain, called, dataclasses.replace(plain, extra={"turns": turns}))}
    assert len(ids) == 3
    assert dataclasses.replace(plain, extra={"turns": {"1": {"mood": "calm"}}}).id == plain.id


def test_a_text_is_a_sample_of_one_turn_of_that_role():
    assert dataclasses.replace(BASE, messages=[{"role": "text", "content": "abc"}]).text == "abc"
    assert BASE.text is None
    assert dataclasses.replace(BASE, messages=BASE.messages[:1]).text is None


def test_a_problem_has_the_turns_of_its_prompt():
    problem = Problem(domain="toy", prompt="1 + 1?", gold=None, verifier="none", spec={})
    assert problem.messages == conversation("1 + 1?", "")[:1]
    turns = [{"role": "system", "content": "Be brief."}, *problem.messages]
    assert dataclasses.replace(problem, spec={"messages": turns}).messages == turns
