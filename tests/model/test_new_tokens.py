"""New tokens begin as the mean of the old ones, and all else stays."""

import copy

import torch
import transformers as hf

from afterbase.model.head import output_layer
from afterbase.model.load import LanguageModel
from afterbase.model.new_tokens import add_rows
from zoo import WIDTHS


def _with_new(tokenizer):
    made = copy.deepcopy(tokenizer)
    made.add_tokens(["<|new|>", "<|newer|>"], special_tokens=True)
    return made


def test_new_rows_are_the_mean_of_the_old_in_both_layers(toy_lm, toy_tokenizer):
    old = {name: weight.clone() for name, weight in toy_lm.modules().state_dict().items()}
    add_rows(toy_lm, _with_new(toy_tokenizer))
    assert toy_lm.model.config.vocab_size == len(toy_lm.tokenizer) == len(toy_tokenizer) + 2
    for name, weight in toy_lm.modules().state_dict().items():
        assert torch.equal(weight[: len(old[name])], old[name])
        if len(weight) != len(old[name]):
            assert torch.allclose(weight[-2:], old[name].mean(0).expand(2, -1), atol=1e-6)
    assert len(output_layer(toy_lm.model).weight) == len(toy_lm.tokenizer)


def test_a_bias_of_the_head_grows_too(toy_tokenizer):
    model = hf.PhiForCausalLM(hf.PhiConfig(vocab_size=len(toy_tokenizer), **WIDTHS))
    head = output_layer(model)
    assert head.bias is not None
    head.bias.data.normal_()
    mean = head.bias.mean().item()
    add_rows(LanguageModel(model, copy.deepcopy(toy_tokenizer), None), _with_new(toy_tokenizer))
    bias = output_layer(model).bias
    assert len(bias) == len(toy_tokenizer) + 2
    assert torch.allclose(bias[-2:], torch.tensor(mean), atol=1e-6)


def test_rows_of_padding_do_not_count(toy_tokenizer):
    """A vocabulary is often rounded up: what stands behind the tokens was never trained."""
    config = hf.LlamaConfig(vocab_size=len(toy_tokenizer) + 10, tie_word_embeddings=True, **WIDTHS)
    model = hf.LlamaForCausalLM(config)
    weight = output_layer(model).weight
    weight.data[len(toy_tokenizer) :] = 1e6
    mean = weight[: len(toy_tokenizer)].mean(0).detach().clone()
    add_rows(LanguageModel(model, copy.deepcopy(toy_tokenizer), None), _with_new(toy_tokenizer))
    assert len(output_layer(model).weight) == len(toy_tokenizer) + 10
    assert torch.allclose(output_layer(model).weight[len(toy_tokenizer)], mean, atol=1e-6)
    assert model.get_input_embeddings().weight is output_layer(model).weight
