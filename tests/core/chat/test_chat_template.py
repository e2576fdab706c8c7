"""What templates of other people's models render is what is trained, and what their prompts are is what is read."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils import chat_template_utils

import template_toys
from afterbase.core.chat import template_facts as template_module
from afterbase.core.chat.template_facts import stop_token_ids_of_template, template_of
from afterbase.core.errors import UserError
from afterbase.core.tokens import Tokenized, prompt_ids, tokenize, training_rows, user_prompt_ids
from foreign import KINDS, SPECIAL, TEMPLATES, tokenizer

WORDS = st.sampled_from(["there", " there", "then", "\n", "\n\n", "  x", "42", "é你", "Is it", "def f():\n\treturn"])
MARKS = st.sampled_from([*SPECIAL, "use <s>old</s> price", "[INST]"])
PLAIN = st.lists(WORDS, max_size=4).map("".join)
MARKED = st.lists(WORDS | MARKS, max_size=4).map("".join)
THOUGHTS = st.tuples(PLAIN, PLAIN).map(lambda pair: f"<think>\nHm, {pair[0]}.\n</think>\n\nSo {pair[1]}")
SOME = [(kind, name) for kind in KINDS for name in TEMPLATES]


def _message(role, content):
    return {"role": role, "content": content}


def _conversations(texts, answers):
    turn = st.tuples(texts, answers).map(lambda pair: [_message("user", pair[0]), _message("assistant", pair[1])])
    return st.lists(turn, min_size=1, max_size=3).map(lambda turns: [message for turn in turns for message in turn])


def _answers(name, texts):
    return THOUGHTS if name.startswith("r1") else st.one_of(texts, THOUGHTS)


def _behind(made, row, start, end):
    """What tokens say that stand behind others, whatever space a piece of its own would get."""
    return made.decode(row.ids[:end])[len(made.decode(row.ids[:start])) :]


def _ends(row: Tokenized):
    """Where each trained span begins and ends."""
    spans, start = [], None
    for at, bears in enumerate([*row.trained, False]):
        if bears and start is None:
            start = at
        elif not bears and start is not None:
            spans.append((start, at))
            start = None
    return spans


@pytest.mark.parametrize(("kind", "name"), SOME)
@settings(max_examples=12)
@given(data=st.data())
def test_prompts_are_the_templates_own_ids(kind, name, data):
    made = tokenizer(kind, name)
    messages = [*data.draw(_conversations(PLAIN, _answers(name, PLAIN))), _message("user", data.draw(PLAIN))]
    source = TEMPLATES[name]
    source = template_module._pinned() + source if "strftime_now" in source else source
    given = [{**m, "content": [{"type": "text", "text": m["content"]}]} if name == "parts" else m for m in messages]
    theirs = made.apply_chat_template(
        given, chat_template=source, tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert prompt_ids(made, messages) == theirs


@pytest.mark.parametrize(("kind", "name"), SOME)
@settings(max_examples=12)
@given(data=st.data())
def test_each_answer_is_trained_once_behind_its_own_prompt(kind, name, data):
    made = tokenizer(kind, name)
    messages = data.draw(_conversations(MARKED, _answers(name, MARKED)))
    rows = training_rows(made, messages)
    spans = [(row, *span) for row in rows for span in _ends(row)]
    turns = [turn for turn, message in enumerate(messages) if message["role"] == "assistant"]
    assert len(spans) == len(turns)
    for turn, (row, start, end) in zip(turns, spans, strict=True):
        prompt = prompt_ids(made, messages[:turn])
        assert row.ids[:start] == prompt, "the context of inference"
        assert row.ids[end - 1] == stop_token_ids_of_template(made)[0]
        assert stop_token_ids_of_template(made)[0] not in row.ids[start : end - 1]
        said = messages[turn]["content"].strip()
        opened = "<think>\n" if name == "r1" else ""  # which the prompt supplies
        assert said.removeprefix(opened) in _behind(made, row, start, end), "the whole answer and thought"


@pytest.mark.parametrize(("kind", "name"), SOME)
@settings(max_examples=12)
@given(text=MARKED.filter(str.strip))
def test_control_marks_in_a_text_stay_as_they_were_written(kind, name, text):
    made = tokenizer(kind, name)
    bare = user_prompt_ids(made, "x")
    ids = user_prompt_ids(made, text)
    control = {i for i, token in made.added_tokens_decoder.items() if token.special}
    assert [i for i in ids if i in control] == [i for i in bare if i in control]
    assert text.strip() in made.decode(ids)


@pytest.mark.parametrize(
    ("name", "eos", "stop"),
    [
        ("chatml", "</s>", "<|im_end|>"),
        ("chatml", "<|im_end|>", "<|im_end|>"),
        ("llama3", "</s>", "<|im_end|>"),
        ("gemma", "</s>", "<|im_end|>"),
        ("mistral", "</s>", "</s>"),
        ("phi3", "</s>", "<|im_end|>"),
        ("qwen3", "</s>", "<|im_end|>"),
        ("r1", "</s>", "<|im_end|>"),
        ("parts", "</s>", "<|im_end|>"),
        ("channels", "</s>", "</s>"),
    ],
)
def test_what_ends_a_turn_is_what_the_template_writes_there(name, eos, stop):
    made = tokenizer("bytes", name, eos=eos)
    assert stop_token_ids_of_template(made)[0] == made.convert_tokens_to_ids(stop)


def test_without_a_template_the_tokenizers_own_token_stops():
    made = tokenizer("bytes", "chatml")
    made.chat_template = None
    assert stop_token_ids_of_template(made)[0] == made.convert_tokens_to_ids("</s>")


def test_history_that_is_written_anew_makes_a_row_a_turn():
    made = tokenizer("bytes", "qwen3")
    messages = [
        _message("user", "a?"),
        _message("assistant", "<think>\nHm.\n</think>\n\nb"),
        _message("user", "c?"),
        _message("assistant", "d"),
    ]
    rows = training_rows(made, messages)
    assert [[made.decode(row.ids[a:b]) for a, b in _ends(row)] for row in rows] == [
        ["<think>\nHm.\n</think>\n\nb<|im_end|>"],
        ["<think>\n\n</think>\n\nd<|im_end|>"],
    ]
    assert "Hm." not in made.decode(rows[1].ids)
    with pytest.raises(UserError, match="must extend its own generation prompt"):
        tokenize(made, messages)


def test_answer_without_the_thought_that_its_prompt_begins_closes_an_empty_one():
    made = tokenizer("bytes", "r1")
    row = tokenize(made, [_message("user", "2 + 2?"), _message("assistant", "It is 4.")])
    assert made.decode(row.ids) == "<s><|user|>2 + 2?<|assistant|><think>\n\n</think>\n\nIt is 4.<|im_end|>"
    trained = [token for token, bears in zip(row.ids, row.trained, strict=True) if bears]
    assert made.decode(trained) == "\n</think>\n\nIt is 4.<|im_end|>"


def test_thought_that_was_sampled_behind_its_opening_is_trained():
    made = tokenizer("bytes", "r1")
    row = tokenize(made, [_message("user", "2 + 2?"), _message("assistant", "Two.\n</think>\n\n4")])
    assert made.decode(row.ids) == "<s><|user|>2 + 2?<|assistant|><think>\nTwo.\n</think>\n\n4<|im_end|>"


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("m.content", "(m.content | upper)", "the user's `Two and two\\?` lost or changed"),
        ("m.content", "(m.content if m.role != 'user' else '')", "the user's `Two and two\\?` lost or changed"),
        ("m.content", "(m.content | replace('  ', ' '))", "with the answer as it was written"),
        ("m.content", "(m.content if m.role != 'assistant' else '')", "with the answer as it was written"),
    ],
)
def test_template_that_changes_a_turn_is_refused(old, new, match):
    made = tokenizer("bytes", TEMPLATES["chatml"].replace(old, new))
    with pytest.raises(UserError, match=match):
        tokenize(made, [_message("user", "Two and two?"), _message("assistant", "It  is 4.")])


def test_system_prompt_that_a_template_leaves_out_is_refused():
    made = tokenizer("bytes", "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}")
    with pytest.raises(UserError, match="the system's `Think first` lost"):
        user_prompt_ids(made, "Hi", system="Think first")


@pytest.mark.parametrize(
    ("template", "match"),
    [
        ("{{ raise_exception('No turns, please') }}", "No turns, please"),
        ("{{ messages[7].content.there }}", "undefined|no element|has no"),
        ("{{ messages[0].content + 7 }}", "str"),
        ("{{ 1 // 0 }}", "zero"),
        ("{% for m in messages %}{{ m.content }", "expected"),
    ],
    ids=["its own words", "undefined", "a wrong type", "arithmetic", "no template"],
)
def test_what_a_template_raises_is_said_with_the_roles(template, match):
    made = tokenizer("bytes", template)
    with pytest.raises(UserError, match=match) as caught:
        user_prompt_ids(made, "Hi", system="Think.")
    assert "of a conversation of system, user" in str(caught.value)


def test_prompts_of_tomorrow_are_those_of_today(monkeypatch):
    made = tokenizer("bytes", "{{ strftime_now('%d %b %Y %H:%M:%S %-d %A') }}" + TEMPLATES["chatml"])
    today = user_prompt_ids(made, "Hi")
    assert str(made.decode(today)).startswith("26 Jul 2024 00:00:00 26 Friday<|im_start|>")

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 1, 2, 3, 4, 5)

    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    assert user_prompt_ids(made, "Hi") == today


def test_default_of_several_templates_is_used():
    made = tokenizer("bytes", "chatml")
    alone = user_prompt_ids(made, "Hi")
    made.chat_template = {"default": TEMPLATES["chatml"], "tool_use": "no"}
    assert user_prompt_ids(made, "Hi") == alone
    made.chat_template = {"rag": "no", "tool_use": "no"}
    with pytest.raises(UserError, match="has a default one"):
        user_prompt_ids(made, "Hi")


def test_tokens_that_are_added_later_are_known():
    made = tokenizer("bytes", "chatml")
    assert "<|new|>" not in template_of(made).special
    made.add_special_tokens({"additional_special_tokens": [*SPECIAL[3:], "<|new|>"]})
    assert "<|new|>" in template_of(made).special


def test_a_refused_system_turn_becomes_the_beginning_of_the_users():
    made = tokenizer("bytes", "gemma")
    turns = [_message("system", "Be short."), _message("user", "a?"), _message("assistant", "b")]
    turns += [_message("user", "c?"), _message("assistant", "d")]
    with pytest.warns(UserWarning, match="takes no system turn"):
        prompt = prompt_ids(made, turns[:2])
    assert made.decode(prompt) == "<s><|im_start|>user\nBe short.\n\na?<|im_end|>\n<|im_start|>model\n"
    with pytest.warns(UserWarning, match="takes no system turn"):
        (row,) = training_rows(made, turns, untrained=[2])
    assert row.ids[: len(prompt)] == prompt
    assert [made.decode(row.ids[a:b]) for a, b in _ends(row)] == ["d<|im_end|>"], "turns are counted as written"


def test_a_system_turn_alone_becomes_the_users():
    with pytest.warns(UserWarning, match="takes no system turn"):
        ids = prompt_ids(tokenizer("bytes", "gemma"), [_message("system", "Be short.")])
    assert "user\nBe short.<|im_end|>" in tokenizer("bytes", "gemma").decode(ids)


TAGGED = (
    "{% for m in messages %}<|head|>{{ m.role }}<|body|>{% if m.role == 'assistant' %}BEFORE{% generation %}"
    "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|head|>assistant<|body|>{% endif %}"
)


@pytest.mark.parametrize("before", ["", "Answer: "])
def test_tags_say_what_is_trained_and_the_stop_token_always_is(before):
    made = tokenizer("bytes", TAGGED.replace("BEFORE", before))
    row = tokenize(made, [_message(role, text) for role, text in zip(["user", "assistant"] * 2, "abcd", strict=True)])
    assert [made.decode(row.ids[a:b]) for a, b in _ends(row)] == ["b<|im_end|>", "d<|im_end|>"]
    assert made.decode(row.ids).count(f"<|head|>assistant<|body|>{before}") == 2


def test_an_assistants_turn_without_tags_in_a_template_that_has_them_is_refused():
    source = TAGGED.replace("BEFORE", "").replace("m.role == 'assistant'", "m.role == 'user'")
    with pytest.raises(UserError, match="has it around each turn"):
        tokenize(tokenizer("bytes", source), [_message("user", "a"), _message("assistant", "b")])


def _called(**function) -> list[dict]:
    return [{"role": "user", "content": "?"}, {"role": "assistant", "content": None, "tool_calls": [function]}]


@pytest.mark.parametrize("name", ["qwen2.5", "llama3", "mistral", "gpt-oss", "glm4", "gemma4"])
def test_control_marks_in_calls_results_and_definitions_stay_text(name):
    made = template_toys.tokenizer(template_toys.source(name))
    control = [i for i, token in made.added_tokens_decoder.items() if token.special]
    mark = next(m for m in template_of(made).special if m.startswith("<|") or m == "[INST]")

    def said(words: str) -> list[int]:
        tools = [{"type": "function", "function": {"name": "add", "description": words, "parameters": {"a": words}}}]
        call = {"id": "call00001", "function": {"name": "add", "arguments": {f"key {words}": [words]}}}
        turns = [*_called(**call), {"role": "tool", "tool_call_id": "call00001", "name": "add", "content": words}]
        rows = training_rows(made, [*turns, _message("assistant", "Done.")], tools=tools)
        return [i for row in rows for i in row.ids if i in control]

    assert said(mark) == said("words")


@pytest.mark.parametrize("arguments", [{"a": [1, "é"]}, '{"a": [1, "é"]}'], ids=["object", "text"])
@pytest.mark.parametrize("name", ["qwen3", "deepseek-v3", "mistral"])
def test_arguments_may_be_an_object_or_its_text(name, arguments):
    made = template_toys.tokenizer(template_toys.source(name))
    row = training_rows(made, _called(id="call00001", function={"name": "add", "arguments": arguments}))[-1]
    (run,) = [made.decode(row.ids[a:b]) for a, b in _ends(row)]
    assert '{"a": [1, "é"]}' in run


@pytest.mark.parametrize("call", [{}, {"function": {"name": "add", "arguments": "[1]"}}, {"function": {"name": 7}}])
def test_a_call_that_is_none_is_refused(call):
    with pytest.raises(UserError, match="a call of a tool has a name"):
        prompt_ids(template_toys.tokenizer(template_toys.source("qwen3")), _called(**call))


@pytest.mark.parametrize(
    ("name", "tools", "match"),
    [
        ("chatml", [{"name": "add"}], "renders the definitions of tools"),
        ("qwen3", [{"function": {}}], "the definition of a tool is an object with a name"),
    ],
)
def test_definitions_that_are_lost_or_nameless_are_refused(name, tools, match):
    made = template_toys.tokenizer(template_toys.source(name))
    with pytest.raises(UserError, match=match):
        prompt_ids(made, [_message("user", "Hi")], tools)


def test_calls_without_a_form_for_them_are_refused():
    made = template_toys.tokenizer(template_toys.source("chatml"))
    with pytest.raises(UserError, match="no form for them"):
        prompt_ids(made, _called(function={"name": "add", "arguments": {}}))
