"""Toy tokenizers for whole chat templates: byte-level, with each control mark that a template writes as one token."""

import functools
import re
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AddedToken, PreTrainedTokenizerFast

FOLDER = Path(__file__).with_name("templates")
_MARK = re.compile(
    r"<[|｜][^\s<>|｜'\"]+[|｜]>|<\|[a-z_]+>|<[a-z_]+\|>|<(?:start|end)_of_[a-z]+>|\[/?[A-Z_]{3,}\]|\[gMASK\]|<sop>"
)
_OWN = re.compile(r"</?think>|</?tool_call>|</?arg_(?:key|value)>")  # a model's own, and so not declared special
_TEXTS = [
    "What is 17 + 25? The answer is 42. there them then Is it there? It is there.",
    "def f(x):\n\treturn x + 1\n\n<think>\nTwo and two.\n</think>\n\nIt is 4.",
    '{"name": "look_up", "arguments": {"city": "Paris"}} user assistant system model tool',
] * 20


def names() -> list[str]:
    """The templates of `tests/templates`."""
    return sorted(path.stem for path in FOLDER.glob("*.jinja"))


def source(name: str) -> str:
    return (FOLDER / f"{name}.jinja").read_text()


@functools.cache
def tokenizer(template: str) -> PreTrainedTokenizerFast:
    """A tokenizer for a template's text, with `<s>` and `</s>` as what begins and ends a text."""
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained()), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.add_special_tokens({"additional_special_tokens": list(dict.fromkeys(_MARK.findall(template)))})
    own: list[str | AddedToken] = [AddedToken(mark, special=False) for mark in dict.fromkeys(_OWN.findall(template))]
    made.add_tokens(own)
    made.chat_template = template
    return made


@functools.cache
def _trained() -> str:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    how = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_TEXTS, how)
    return made.to_str()
