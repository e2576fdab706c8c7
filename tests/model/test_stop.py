"""An answer ends for everybody at the same tokens: the template's, the tokenizer's, and the model's own."""

import json

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from afterbase.model.load import LanguageModel, load, save
from afterbase.model.stop import stop_token_ids
from afterbase.rollout.chat_model import ChatRequest
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.engine_model import EngineModel
from afterbase.rollout.local.local_engine import LocalEngine
from foreign import tokenizer


@pytest.fixture
def foreign_lm() -> LanguageModel:
    """A Llama with ChatML: turns end in `<|im_end|>`, the eos_token is `</s>`, the settings name a third."""
    made = tokenizer("bytes", "chatml")
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(made) + 8, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip
    assert model.generation_config is not None
    model.generation_config.eos_token_id = [5, 10**6, -1]
    return LanguageModel(model.eval(), made, None)


def test_all_that_end_an_answer_are_known(foreign_lm):
    ids = foreign_lm.tokenizer.convert_tokens_to_ids(["</s>", "<|im_end|>", "<|head|>"])
    assert ids == [2, 4, 5]
    assert stop_token_ids(foreign_lm) == (2, 4, 5)


def test_settings_of_any_form_are_read(foreign_lm):
    for own in (None, 5, (5,), [True, "x"]):
        foreign_lm.model.generation_config.eos_token_id = own
        assert stop_token_ids(foreign_lm) == ((2, 4, 5) if own in (5, (5,)) else (2, 4))


def test_a_saved_folder_says_where_answers_end(foreign_lm, tmp_path):
    save(foreign_lm, tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == [2, 4, 5]
    assert stop_token_ids(load(tmp_path)) == (2, 4, 5)


def test_a_single_stop_token_is_written_as_it_was(toy_lm, tmp_path):
    stop = toy_lm.tokenizer.eos_token_id
    save(toy_lm, tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == stop


def _always(lm: LanguageModel, token: int) -> None:
    """Every state of such a model gives this token."""
    for parameter in lm.model.parameters():
        parameter.data.zero_()
    lm.model.model.embed_tokens.weight.data.fill_(1.0)
    lm.model.model.norm.weight.data.fill_(1.0)
    lm.model.lm_head.weight.data[token] = 1.0


@pytest.mark.parametrize("token", [2, 4, 5])
def test_everybody_stops_there(foreign_lm, token):
    _always(foreign_lm, token)
    request = ChatRequest(messages=[{"role": "user", "content": "Hi"}], temperature=0.0, max_tokens=8)
    for as_served in (False, True):
        (reply,) = EngineModel(foreign_lm, name="k", as_served=as_served).complete([request])
        assert (reply.text, reply.tokens, reply.truncated, reply.failure) == ("", 1, False, None)


def test_another_token_stops_nobody(foreign_lm):
    _always(foreign_lm, 6)
    sampling = Sampling(temperature=0.0, max_new_tokens=3, stop_token_ids=stop_token_ids(foreign_lm), seed=0)
    ((completion,),) = LocalEngine(foreign_lm.model).generate([[1, 7]], samples=1, sampling=sampling)
    assert completion.finish is FinishReason.LENGTH
