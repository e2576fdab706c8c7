"""Which decoder a model gets, and what none of them runs."""

from typing import Any

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from afterbase.core.errors import UserError
from afterbase.model.decoding.decode_any import AnyDecoder
from afterbase.model.decoding.decode_deepseek_v3 import LatentDecoder
from afterbase.model.decoding.decode_llama import LlamaDecoder
from afterbase.model.decoding.decoder import decoder_for

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def llama() -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()


def test_each_family_has_the_decoder_that_is_made_for_it(toy_lm):
    assert isinstance(decoder_for(toy_lm.model, int8=False), LatentDecoder)
    assert isinstance(decoder_for(llama(), int8=False), LlamaDecoder)
    assert isinstance(decoder_for(GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)).eval(), int8=False), AnyDecoder)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_are_refused(toy_lm, dtype):
    for model in (toy_lm.model, llama()):
        with pytest.raises(UserError, match="computes in float32"):
            decoder_for(model.to(dtype), int8=False)


def test_int8_is_for_llamas_kind(toy_lm):
    with pytest.raises(UserError, match="of Llama's kind"):
        decoder_for(toy_lm.model, int8=True)
