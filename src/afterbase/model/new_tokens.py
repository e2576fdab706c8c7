"""A model with embeddings for tokens that its tokenizer did not have before."""

import shutil
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from afterbase.model.families import read_config
from afterbase.model.head import output_layer
from afterbase.model.load import LanguageModel, load, save

_REPLACED = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "additional_chat_templates")


def save_with_new_tokens(folder: Path, target: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Copy a model folder with another tokenizer, some of whose tokens are new.

    The rows of the new tokens, in the embedding and in the output layer, are the mean of the rows of the old tokens.
    Weights stay in the type that the config names. Raises UserError as `load` does.
    """
    kept = read_config(folder).dtype
    dtype = kept if isinstance(kept, torch.dtype) else torch.float32
    lm = load(folder, dtype=dtype)
    add_rows(lm, tokenizer)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(*_REPLACED), dirs_exist_ok=True)
    save(lm, target, dtype=dtype)


@torch.no_grad()
def add_rows(lm: LanguageModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Give the model the tokenizer; a tied embedding stays tied, and a multi-token prediction module shares it."""
    known = lm.tokenizer.get_vocab()
    old = torch.tensor(sorted(set(known.values())))
    new = torch.tensor(sorted(i for token, i in tokenizer.get_vocab().items() if token not in known))
    embedding = lm.model.get_input_embeddings()
    assert isinstance(embedding, torch.nn.Embedding)
    if len(tokenizer) > embedding.num_embeddings:
        lm.model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    head = output_layer(lm.model)
    for rows in (lm.model.get_input_embeddings().weight, head.weight, head.bias):
        if isinstance(rows, Tensor):
            rows[new] = rows[old].double().mean(0).to(rows.dtype)
    lm.tokenizer = tokenizer
