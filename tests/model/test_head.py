"""What a family does after its output layer, found by asking the model."""

import pytest
import torch
import transformers as hf
from torch import nn

from afterbase.core.errors import UserError
from afterbase.model.head import Head, measure_head, output_layer
from zoo import WIDTHS, WORKING

RIGHT = {
    "llama": (1.0, None),
    "phi, bias": (1.0, None),
    "cohere, scale": (0.0625, None),
    "granite, divisor": (0.125, None),
    "granitemoe, divisor": (0.125, None),
    "hyperclovax, factor": (3.0, None),
    "gemma2, cap": (1.0, 3.0),
    "nanochat, cap": (1.0, 15.0),
}


def model_of(kind: str) -> hf.PreTrainedModel:
    config, sizes = WORKING[kind]
    return hf.AutoModelForCausalLM.from_config(config(vocab_size=50, **sizes)).eval()


@pytest.mark.parametrize("kind", RIGHT)
def test_scale_and_cap_are_those_of_the_family(kind):
    assert measure_head(model_of(kind)) == RIGHT[kind]


@pytest.mark.parametrize("kind", RIGHT)
def test_with_them_the_logits_are_the_models_own(kind):
    model = model_of(kind)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
        ids = torch.arange(12)[None]
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        layer = output_layer(model)
        ours = Head(layer.weight, layer.bias, *measure_head(model)).logits(hidden)
        torch.testing.assert_close(ours, model(input_ids=ids, use_cache=False).logits, rtol=1e-6, atol=1e-6)


class Bent(hf.LlamaForCausalLM):
    """A family that does to its logits what this head cannot say."""

    bend = staticmethod(lambda logits: logits)

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = self.bend(output.logits)
        return output


BENDS = {
    "another cap below zero": lambda z: torch.where(z < 0, torch.tanh(z), z),
    "a token forbidden": lambda z: z.index_fill(-1, torch.tensor([7]), -1e9),
    "another scale for a token": lambda z: z * torch.arange(1.0, 51.0),
    "fewer tokens": lambda z: z[..., :-1],
    "a constant added": lambda z: z + torch.arange(50.0),
}


@pytest.mark.parametrize("bend", BENDS)
def test_another_function_is_refused(bend):
    model = Bent(hf.LlamaConfig(vocab_size=50, **WIDTHS)).eval()
    assert measure_head(model) == (1.0, None)
    model.bend = BENDS[bend]
    with pytest.raises(UserError, match="by one rule for all tokens"):
        measure_head(model)


def test_a_model_without_a_linear_head_is_refused():
    model = model_of("llama")
    model.lm_head = nn.Sequential(model.lm_head, nn.Identity())
    with pytest.raises(UserError, match="one linear layer over its vocabulary") as raised:
        output_layer(model)
    assert "Sequential" in raised.value.got
