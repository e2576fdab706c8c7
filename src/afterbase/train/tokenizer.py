"""A byte-level BPE tokenizer with single digits, trained on raw text, with the chat template of `core.tokens`."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from afterbase.core.tokens import BEGIN, CHAT_TEMPLATE, END, PAD, SPECIAL_TOKENS

# Single digits, words with their leading space, punctuation with the spaces around it where a digit follows
# (so that a number is its digits alone), and white space: no merge crosses these.
_PIECES = Regex(r"\d| ?[A-Za-z]+| ?[^\sA-Za-z\d]+(?: (?=-?\d))?|\n+| +")


def train_tokenizer(texts: Iterable[str], *, vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """A tokenizer of `vocabulary` entries, special tokens first; `context` is the model's longest input in tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]  # the stubs know no setter
        [
            pre_tokenizers.Split(_PIECES, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()  # type: ignore[assignment]  # nor here
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=BEGIN, eos_token=END, pad_token=PAD, model_max_length=context
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
