"""The byte-level tokenizer: nothing is lost, digits stand alone, special tokens come first."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from afterbase.core.tokens import BEGIN, END, PAD, SPECIAL_TOKENS
from afterbase.train.tokenizer import train_tokenizer

SMALLEST = len(SPECIAL_TOKENS) + 256
SHARED = train_tokenizer(["the sum of 12 and 345 is 357\n"] * 5, vocabulary=300, context=64)


def test_special_tokens_have_the_first_ids(toy_tokenizer):
    assert toy_tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(len(SPECIAL_TOKENS)))
    tokens = toy_tokenizer.bos_token, toy_tokenizer.eos_token, toy_tokenizer.pad_token
    assert tokens == (BEGIN, END, PAD)
    assert toy_tokenizer(SPECIAL_TOKENS[4])["input_ids"] == [4]


def test_the_vocabulary_has_the_size_that_was_asked_for(toy_tokenizer):
    assert len(toy_tokenizer) == 400
    assert toy_tokenizer.model_max_length == 512


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
@example("  a\t\tb\r\n\n c  ")
@example("3.14-2=1.14, 二百 ٣ ½ 🙂 e\u0301")
@example("a , b . c 's don't\x00\x7f\u200b")
@example("1 -2 - 3  4")
def test_any_text_survives(text):
    ids = SHARED(text)["input_ids"]
    assert SHARED.decode(ids) == text


@given(st.text("0123456789 .,-+=()ab\n", max_size=40))
@settings(deadline=None)
def test_every_digit_is_a_token_of_its_own(text):
    pieces = [SHARED.decode([token]) for token in SHARED(text)["input_ids"]]
    assert [p for p in pieces if any(c.isdigit() for c in p)] == [c for c in text if c.isdigit()]


def test_nothing_is_added_around_a_text(toy_tokenizer):
    """The chat template and the corpus place the begin token themselves."""
    assert toy_tokenizer("")["input_ids"] == []
    assert BEGIN not in toy_tokenizer.decode(toy_tokenizer("some words")["input_ids"])


def test_merges_shorten_what_it_was_fitted_on():
    text = "the sum of the parts"
    fitted = train_tokenizer([text] * 3, vocabulary=300, context=64)
    untrained = train_tokenizer([], vocabulary=300, context=64)
    assert len(untrained) == SMALLEST
    assert len(untrained(text)["input_ids"]) == len(text)
    assert len(fitted(text)["input_ids"]) == 5


def test_the_template_and_the_special_tokens_are_saved_with_it(toy_tokenizer, tmp_path):
    toy_tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    messages = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}]
    ids = toy_tokenizer.apply_chat_template(messages, return_dict=False)
    assert again.apply_chat_template(messages, return_dict=False) == ids
    assert again.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(len(SPECIAL_TOKENS)))
    assert again.decode(ids) == "<|begin|><|user|>1+1<|assistant|>2<|end|>"
