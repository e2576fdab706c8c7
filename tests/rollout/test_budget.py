import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.rollout.budget import Price, prompt_bound, prompt_estimate


def test_prices_are_for_a_million_tokens():
    price = Price(prompt=0.5, completion=2.0)
    assert price.of(prompt=2_000_000, completion=500_000) == 2.0
    assert price.of(prompt=0, completion=0) == 0.0


@pytest.mark.parametrize(("prompt", "completion"), [(-1.0, 1.0), (1.0, -1.0)])
def test_prices_are_not_negative(prompt, completion):
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Price(prompt=prompt, completion=completion)


@given(text=st.text())
def test_a_bound_is_above_what_a_tokenizer_makes(toy_tokenizer, text):
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": text}]
    ids = toy_tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert len(ids) <= prompt_bound(messages)
    assert prompt_estimate(messages) <= prompt_bound(messages)
