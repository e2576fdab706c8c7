"""What templates of other people's models render is what is trained, and what their prompts are is what is read."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils import chat_template_utils

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


def test_answer_without_the_thought_that_its_prompt_begins_is_refused():
    made = tokenizer("bytes", "r1")
    with pytest.raises(UserError, match="as it was written"):
        tokenize(made, [_message("user", "2 + 2?"), _message("assistant", "It is 4.")])


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
