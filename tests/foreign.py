"""Toy tokenizers and chat templates of the kinds that are met in other people's model folders."""

import functools
import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

_TEXTS = [
    "What is 17 + 25? The answer is 42. there them then Is it there? It is there.",
    "def f(x):\n\treturn x + 1\n\n<think>\nTwo and two.\n</think>\n\nIt is 4.",
    "你好，世界。 مرحبا 😀 café naïve <|im_start|>system user assistant model [INST] </s>",
] * 20

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "chatml with its own system prompt": "{% if messages[0].role != 'system' %}"
    "{{ '<|im_start|>system\nBe of help.<|im_end|>\n' }}{% endif %}" + CHATML,
    # As Llama 3's: a turn is trimmed.
    "llama3": "{{ bos_token }}{% for m in messages %}"
    "{{ '<|head|>' + m.role + '<|body|>\n\n' + (m.content | trim) + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|head|>assistant<|body|>\n\n' }}{% endif %}",
    # As Gemma's: no system turn, the roles in turn, the assistant is `model`.
    "gemma": "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('No system turn, please') }}"
    "{% endif %}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must take turns') }}{% endif %}"
    "{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<|im_start|>' + role + '\n' + (m.content | trim) + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}",
    # As Mistral's: no generation prompt, the system prompt within the first user's turn.
    "mistral": "{{ bos_token }}{% set start = 1 if messages[0].role == 'system' else 0 %}"
    "{% for m in messages[start:] %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + (messages[0].content + '\n\n' if start and loop.first else '') + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}",
    # As Phi-3's: what ends a turn is not what ends the text.
    "phi3": "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    # As Qwen3's: thoughts of earlier turns go, and an answer without one gets an empty one.
    "qwen3": "{% for m in messages %}{% set rest = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% if m.role == 'assistant' and loop.last %}{% set thought = '' %}{% if '</think>' in m.content %}"
    "{% set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\n') %}{% endif %}"
    "{{ '<|im_start|>assistant\n<think>\n' + thought + '\n</think>\n\n' + rest + '<|im_end|>\n' }}"
    "{% elif m.role == 'assistant' %}{{ '<|im_start|>assistant\n' + rest + '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    # As R1's: a thought is never rendered; the generation prompt opens one.
    "r1": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<|user|>' + m.content }}"
    "{% elif m.role == 'assistant' %}{{ '<|assistant|>' + m.content.split('</think>')[-1] + '<|im_end|>' }}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}",
    # As R1's was at first: the generation prompt opens no thought.
    "r1 without a thought begun": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '<|user|>' + m.content }}{% elif m.role == 'assistant' %}"
    "{{ '<|assistant|>' + m.content.split('</think>')[-1] + '<|im_end|>' }}{% else %}{{ m.content }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
    # As those of models that see: a turn's content is a list of parts.
    "parts": "{% for m in messages %}{{ m.role | capitalize + ':' }}{% for part in m.content %}"
    "{% if part.type == 'text' %}{{ ' ' + part.text }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
    # As gpt-oss's: the last turn ends otherwise than the earlier ones, and has a channel; today's date.
    "channels": "{{ '<|head|>system<|body|>Today: ' + strftime_now('%Y-%m-%d') + '<|im_end|>' }}"
    "{% for m in messages %}{{ '<|head|>' + m.role }}"
    "{% if m.role == 'assistant' %}{{ ' final' }}{% endif %}"
    "{{ '<|body|>' + m.content + (eos_token if loop.last and m.role == 'assistant' else '<|im_end|>') }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant' }}{% endif %}",
}  # fmt: skip
SPECIAL = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|head|>", "<|body|>")
ROLE_MARKS = ("<|user|>", "<|assistant|>")  # added tokens that are not declared special, as DeepSeek's are
KINDS = ("bytes", "legacy", "metaspace", "unigram")


def tokenizer(kind: str, template: str, *, eos: str = "</s>") -> PreTrainedTokenizerFast:
    """One of `KINDS` with one of `TEMPLATES`, or with a template as text."""
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(kind)), bos_token="<s>", eos_token=eos, unk_token="<unk>"
    )
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL[3:])})
    made.add_tokens(list(ROLE_MARKS))
    made.chat_template = TEMPLATES.get(template, template)
    return made


@functools.cache
def _trained(kind: str) -> str:
    """Byte-level BPE, or SentencePiece's kinds: a space before each piece, before the first alone, or unigrams."""
    space = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    if kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        how = trainers.BpeTrainer(
            vocab_size=500, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        )
        made.train_from_iterator(_TEXTS, how)
        return made.to_str()
    first = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    if kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = space
        how = trainers.UnigramTrainer(vocab_size=300, special_tokens=first, unk_token="<unk>", show_progress=False)
        made.train_from_iterator([text.replace("\n", " ") for text in _TEXTS], how)
        pieces = [(piece, score) for piece, score in json.loads(made.to_str())["model"]["vocab"]]
        made = Tokenizer(models.Unigram(pieces, 0, True))
        made.pre_tokenizer = space
    else:
        made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        how = trainers.BpeTrainer(vocab_size=600, special_tokens=first, max_token_length=6, show_progress=False)
        made.train_from_iterator([text.replace(" ", "▁").replace("\n", "") for text in _TEXTS], how)
        if kind == "legacy":
            made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        else:
            made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    whole = json.loads(made.to_str())  # a byte is an ordinary token, which the training above takes for a control token
    whole["added_tokens"] = [token for token in whole["added_tokens"] if token["content"] in SPECIAL]
    return json.dumps(whole)
