"""What is found out of a template before any conversation."""

import threading

import pytest

from afterbase.core.chat import template_facts
from afterbase.core.chat.template_facts import CallForm, Ending, render, stop_token_ids_of_template, template_of
from afterbase.core.errors import UserError
from afterbase.core.tokens import user_prompt_ids
from foreign import TEMPLATES, tokenizer

_CHATML_CALLS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content or '') }}"
    "{% for call in m.tool_calls or [] %}CALL{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
)
_OBJECT = "{{ call.function.name + (call.function.arguments | tojson) }}"
_TEXT = "{{ call.function.name + call.function.arguments }}"
_AS_PYTHON = "{{ call.function.name ~ call.function.arguments }}"


@pytest.mark.parametrize(
    ("call", "form"),
    [
        (_OBJECT, CallForm(text=False, none=False)),
        (_TEXT, CallForm(text=True, none=False)),
        (_AS_PYTHON, CallForm(text=True, none=False)),
        ("{% if m.content is none %}" + _TEXT + "{% endif %}", CallForm(text=True, none=True)),
        ("", None),
        ("{{ call.function.name }}", None),
        ("{{ raise_exception('No tools') }}", None),
    ],
    ids=["object", "text", "text, or Python's spelling", "text, without a content", "no", "name alone", "refuses"],
)
def test_how_a_template_takes_a_call_of_a_tool(call, form):
    assert template_of(tokenizer("bytes", _CHATML_CALLS.replace("CALL", call))).call_form == form


@pytest.mark.parametrize(("name", "taken"), [("chatml", True), ("gemma", False)])
def test_whether_a_template_takes_a_system_turn(name, taken):
    assert template_of(tokenizer("bytes", name)).system is taken


@pytest.mark.parametrize(
    ("template", "ending"),
    [
        (TEMPLATES["chatml"], Ending("<|im_end|>")),
        (TEMPLATES["phi3"], Ending("<|im_end|>")),
        (TEMPLATES["channels"], Ending("</s>")),
        ("{% for m in messages %}<|head|>{{ m.role }}<|body|>{{ m.content }}{% endfor %}", Ending("<|head|>", True)),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", None),
    ],
    ids=["a mark", "the turn's, not the text's", "at the end, not within", "the next turn's", "nothing"],
)
def test_what_ends_a_turn(template, ending):
    assert template_of(tokenizer("bytes", template)).ending == ending


def test_a_turn_that_calls_may_end_otherwise():
    """As gpt-oss's, in `<|call|>`."""
    source = _CHATML_CALLS.replace("CALL", _OBJECT).replace(
        "'<|im_end|>", "('<|head|>' if m.tool_calls else '</s>') + '"
    )
    made = tokenizer("bytes", source)
    assert template_of(made).call_ending == Ending("<|head|>")
    assert stop_token_ids_of_template(made) == (2, made.convert_tokens_to_ids("<|head|>"))


def test_generation_tags_are_found_and_located():
    made = tokenizer(
        "bytes", "{% for m in messages %}{%- generation -%}{{ m.content }}{% endgeneration %}!{% endfor %}"
    )
    assert template_of(made).tags
    messages = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}]
    assert render(made, messages, generation=False, tags=True) == ("ab!c!", [(0, 2), (3, 4)])
    assert not template_of(tokenizer("bytes", "chatml")).tags


_FOR_EVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def test_a_template_that_goes_on_is_stopped(monkeypatch):
    monkeypatch.setattr(template_facts, "_SECONDS", 0.2)
    before = set(threading.enumerate())
    with pytest.raises(UserError, match=r"within 0\.2 seconds"):
        user_prompt_ids(tokenizer("bytes", _FOR_EVER), "Hi")
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), "it holds no processor afterwards"


def test_a_template_that_makes_a_book_is_refused():
    with pytest.raises(UserError, match="1,000,000 characters at most"):
        user_prompt_ids(tokenizer("bytes", "{{ 'x' * 2000000 }}{{ messages[0].content }}"), "Hi")


def test_what_raises_in_the_inspection_is_raised_where_it_was_asked_for():
    assert template_facts._in_time(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        template_facts._in_time(lambda: 1 // 0)
