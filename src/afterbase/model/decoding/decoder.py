"""What the local engine needs of a model family, and which decoder a model gets.

Shape suffixes: M tokens of several prompts or rows, one after another, X hidden width, L layers, W tokens of a prompt,
D numbers cached a token, V vocabulary.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DeepseekV3ForCausalLM, PreTrainedModel

from afterbase.core.errors import UserError
from afterbase.model.decoding.decode_any import AnyDecoder
from afterbase.model.decoding.decode_deepseek_v3 import LatentDecoder, States
from afterbase.model.decoding.decode_llama import LlamaDecoder
from afterbase.model.decoding.latent_cache import LatentCache
from afterbase.model.families import rope_turn


class Decoder(Protocol):
    """Prefill and decode steps over a cache that rows enter and leave; `refresh` takes the model's present weights."""

    @property
    def model(self) -> Any: ...

    @property
    def refresh(self) -> Any: ...

    @property
    def longest(self) -> int | None:
        """Tokens that a sequence may have, where these are fewer than the model's context."""
        ...

    @property
    def new_cache(self) -> Any:
        """As `LatentLayers.new_cache`."""
        ...

    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[list[Tensor], States]:
        """Prompts that do not see each other: what is cached of each, cached_LWD, and the states of all tokens."""
        ...

    def read_on(self, tokens: Sequence[int], cached_LWD: Tensor, start: int) -> States:
        """A prompt's tokens from `start` on, behind what is cached of it so far; what is cached of them is written
        there. The states are those of `read`, up to rounding."""
        ...

    def feed(self, tokens_M: Tensor, cache: LatentCache) -> States:
        """The next token of every row of the cache, which grows by them."""
        ...

    def logits(self, hidden_MX: Tensor) -> Tensor:
        """The head: logits_MV."""
        ...


def decoder_for(model: PreTrainedModel, *, int8: bool) -> Decoder:
    """The fastest decoder that runs this model.

    Raises UserError unless the weights are float32, for int8 outside of Llama's kind, and where no decoder is right.
    """
    if model.dtype != torch.float32:
        raise UserError(
            "the local engine computes in float32",
            got=f"a model in {model.dtype}",
            remedy="load it with dtype=torch.float32, or roll out with vLLM",
        )
    if LlamaDecoder.runs(model):
        return LlamaDecoder(model, int8=int8)
    if int8:
        raise UserError(
            "int8 rollouts are for models of Llama's kind (Llama, Mistral, Qwen2, Qwen3) without adapters",
            got=type(model).__name__,
            remedy="leave int8 out",
        )
    if isinstance(model, DeepseekV3ForCausalLM) and rope_turn(model.config) == math.inf:
        return LatentDecoder(model)
    return AnyDecoder(model)
