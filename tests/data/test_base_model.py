"""The base model in the store: known by its content, out of reach of later changes."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers as hf
from hypothesis import given
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from afterbase.core.errors import UserError
from afterbase.core.store import Store, folder_digest
from afterbase.core.tokens import tokenize, user_prompt_ids
from afterbase.data.base_model import _setting, import_base, preparation_note, prepared_tokenizer
from afterbase.data.shipped_templates import SHIPPED_TEMPLATES
from afterbase.model.head import output_layer
from afterbase.model.load import load, save
from afterbase.model.stop import stop_token_ids
from tokenizer_kinds import CHATML, byte_fallback
from zoo import WIDTHS, write


@pytest.fixture
def folder(tmp_path):
    """A folder as a model lies on a disk, with a folder inside."""
    (tmp_path / "model/extra").mkdir(parents=True)
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/extra/model.safetensors").write_bytes(b"weights")
    return tmp_path / "model"


def test_payload_is_the_folder(tmp_path, folder):
    base = import_base(Store(tmp_path / "store"), folder)
    assert base.digest == folder_digest(folder)
    assert (base.payload / "extra/model.safetensors").read_bytes() == b"weights"
    assert base.manifest["inputs"] == {}


def test_same_content_elsewhere_is_the_same_base(tmp_path, folder):
    store = Store(tmp_path / "store")
    first = import_base(store, folder)
    shutil.copytree(folder, tmp_path / "moved")
    assert import_base(store, tmp_path / "moved") == first
    assert [record.cached for record in store.stages] == [False, True]


def test_changed_content_is_another_base_and_leaves_the_first_alone(tmp_path, folder):
    store = Store(tmp_path / "store")
    first = import_base(store, folder)
    (folder / "extra/model.safetensors").write_bytes(b"Weights")
    second = import_base(store, folder)
    assert first.key != second.key
    assert (first.payload / "extra/model.safetensors").read_bytes() == b"weights"


def test_linked_files_are_copied(tmp_path, folder):
    """As in the cache of the Hugging Face hub, whose snapshots are links."""
    (tmp_path / "blob").write_bytes(b"weights")
    (folder / "linked.safetensors").symlink_to(tmp_path / "blob")
    base = import_base(Store(tmp_path / "store"), folder)
    (tmp_path / "blob").unlink()
    assert (base.payload / "linked.safetensors").read_bytes() == b"weights"


def test_model_loads_from_its_artifact(tmp_path, toy_folder):
    base = import_base(Store(tmp_path / "store"), toy_folder)
    state = load(base.payload).modules().state_dict()
    original = load(toy_folder).modules().state_dict()
    assert state.keys() == original.keys()
    assert all((state[name] == original[name]).all() for name in state)


THINKING = "{% if enable_thinking is defined and not enable_thinking %}no{% endif %}{{ words }}" + CHATML


@pytest.fixture
def bare_folder(toy_lm, tmp_path):
    """The toy model without a chat template."""
    toy_lm.tokenizer = copy.deepcopy(toy_lm.tokenizer)
    toy_lm.tokenizer.chat_template = None
    save(toy_lm, tmp_path / "bare")
    return tmp_path / "bare"


def _text(tokenizer, **given) -> str:
    return tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, **given)


def test_settings_are_written_into_the_template(toy_folder, tmp_path):
    """Everybody who loads the folder has them; a caller's own go before them."""
    (toy_folder / "chat_template.jinja").write_text(THINKING)
    args = {"enable_thinking": False, "words": ["é %} \"'", 1.5, None, {"a": True}]}
    base = import_base(Store(tmp_path / "store"), toy_folder, template_args=args)
    tokenizer = load(base.payload).tokenizer
    assert _text(tokenizer).startswith("no['é %} \"\\'', 1.5, None, {'a': True}]<|im_start|>user")
    assert _text(tokenizer, enable_thinking=True, words="").startswith("<|im_start|>user")
    assert folder_digest(toy_folder) != base.digest


@given(st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none())
def test_a_setting_is_the_value_that_was_given(value):
    source = _setting("{{ words }}", "words", value) + "\n{{ words | tojson }}"
    (text,), _ = render_jinja_template([[]], chat_template=source)
    assert text.startswith("\n"), "what stands behind it stays"
    assert json.loads(text) == value


def test_a_setting_holds_within_macros_and_loops(toy_folder):
    source = (
        "{% macro say() %}{{ words }}{% endmacro %}{% for m in messages %}{{ say() + words + m.content }}{% endfor %}"
    )
    (toy_folder / "chat_template.jinja").write_text(source)
    assert _text(prepared_tokenizer(toy_folder, template_args={"words": "ab"})) == "ababHi"


@pytest.mark.parametrize("name", ["enable_thinkin", "messages", "a-b", "words is defined -%}{%- set x"])
def test_a_setting_that_no_template_reads_is_refused(toy_folder, name):
    (toy_folder / "chat_template.jinja").write_text(THINKING)
    with pytest.raises(UserError, match="one that the template reads"):
        prepared_tokenizer(toy_folder, template_args={name: True})


def test_a_setting_that_is_no_plain_value_is_refused(toy_folder):
    (toy_folder / "chat_template.jinja").write_text(THINKING)
    with pytest.raises(UserError, match="a plain value"):
        prepared_tokenizer(toy_folder, template_args={"words": object()})


def test_one_of_several_templates_has_the_settings_too(toy_folder, tmp_path):
    tokenizer = load(toy_folder).tokenizer
    tokenizer.chat_template = {"default": THINKING, "tool_use": "TOOLS " + THINKING}
    tokenizer.save_pretrained(toy_folder)
    base = import_base(Store(tmp_path / "store"), toy_folder, template_args={"enable_thinking": False})
    kept = load(base.payload).tokenizer
    assert _text(kept).startswith("no<|im_start|>")
    assert _text(kept, tools=[]).startswith("TOOLS no<|im_start|>")
    other = import_base(Store(tmp_path / "store"), toy_folder, chat_template="chatml")
    assert isinstance(load(other.payload).tokenizer.chat_template, str)


def test_another_template_makes_another_base_and_none_leaves_the_key(toy_folder, tmp_path):
    store, mine = Store(tmp_path / "store"), str(tmp_path / "my.jinja")
    Path(mine).write_text(THINKING)
    keys = [
        import_base(store, toy_folder).key,
        import_base(store, toy_folder, chat_template=None, template_args={}).key,
        import_base(store, toy_folder, chat_template=mine).key,
        import_base(store, toy_folder, chat_template=mine, template_args={"words": "a"}).key,
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_folder_without_a_template_says_how_to_name_one(bare_folder):
    with pytest.raises(UserError, match="--chat-template chatml"):
        prepared_tokenizer(bare_folder)
    with pytest.raises(UserError, match="chatml, llama3, deepseek-v3"):
        prepared_tokenizer(bare_folder, chat_template="chatlm")


def test_a_template_that_renders_nothing_of_a_question_is_refused(bare_folder, tmp_path):
    (tmp_path / "my.jinja").write_text("{{ raise_exception('No') }}")
    with pytest.raises(UserError, match=r"`No` of a conversation of user, by .*my\.jinja"):
        prepared_tokenizer(bare_folder, chat_template=str(tmp_path / "my.jinja"))


@pytest.mark.parametrize("name", SHIPPED_TEMPLATES)
def test_a_shipped_template_brings_its_tokens(bare_folder, tmp_path, name):
    shipped = SHIPPED_TEMPLATES[name]
    before = load(bare_folder)
    base = import_base(Store(tmp_path / "store"), bare_folder, chat_template=name)
    lm = load(base.payload)
    new = [lm.tokenizer.convert_tokens_to_ids(mark) for mark in shipped.marks]
    assert new == list(range(len(before.tokenizer), len(lm.tokenizer)))
    assert lm.model.config.vocab_size == len(lm.tokenizer)
    assert stop_token_ids(lm)[-1] == lm.tokenizer.convert_tokens_to_ids(shipped.ending) == lm.tokenizer.eos_token_id
    for layer in ("get_input_embeddings", "get_output_embeddings"):
        old, rows = (getattr(one.model, layer)().weight for one in (before, lm))
        assert torch.equal(rows[: len(old)], old)
        for row in rows[len(old) :]:
            assert torch.allclose(row, old.mean(0), atol=1e-6)
    assert lm.mtp is not None, "which shares both"
    messages = [{"role": role, "content": "Hm."} for role in ("system", "user", "assistant")]
    tokens = tokenize(lm.tokenizer, messages)
    assert sum(tokens.trained) == len(lm.tokenizer("Hm.", add_special_tokens=False)["input_ids"]) + 1
    note = preparation_note(bare_folder, chat_template=name)
    assert note is not None
    assert all(mark in note for mark in shipped.marks)


@pytest.mark.parametrize("room", [1, 40], ids=["too few rows", "rows to spare"])
def test_tied_embeddings_stay_tied_and_in_their_type(toy_tokenizer, tmp_path, room):
    rows = len(toy_tokenizer) + room
    config = hf.Qwen2Config(vocab_size=rows, tie_word_embeddings=True, dtype="bfloat16", **WIDTHS)
    write(tmp_path / "tied", config, toy_tokenizer)
    base = import_base(Store(tmp_path / "store"), tmp_path / "tied", chat_template="chatml")
    lm = load(base.payload, dtype=torch.bfloat16)
    weight = lm.model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    assert weight is output_layer(lm.model).weight
    assert len(weight) == max(rows, len(lm.tokenizer))
    new = [lm.tokenizer.get_vocab()[mark] for mark in ("<|im_start|>", "<|im_end|>")]
    assert torch.allclose(weight[new].float(), weight[: min(new)].float().mean(0), atol=1e-2)
    assert json.loads((base.payload / "config.json").read_text())["dtype"] == "bfloat16"


def test_no_token_is_added_twice(bare_folder, tmp_path):
    store = Store(tmp_path / "store")
    first = import_base(store, bare_folder, chat_template="chatml")
    second = import_base(store, first.payload, chat_template="chatml")
    assert len(load(first.payload).tokenizer) == len(load(second.payload).tokenizer)
    assert preparation_note(first.payload, chat_template="chatml") == (
        "The base model gets the chat template chatml; <|im_end|> ends a turn."
    )
    assert preparation_note(first.payload, chat_template=None) is None


def test_a_tokenizer_that_begins_every_text_with_a_token_does_so_once(tmp_path):
    config = hf.LlamaConfig(vocab_size=len(byte_fallback()), **WIDTHS)
    write(tmp_path / "llama", config, byte_fallback())
    tokenizer = prepared_tokenizer(tmp_path / "llama", chat_template="chatml")
    assert user_prompt_ids(tokenizer, "Hi").count(tokenizer.get_vocab()["<s>"]) == 1
