"""Every token that is trained is one that generation would produce, under templates as people use them.

For whatever conversation: a trained run stands behind exactly the prompt of inference, is what the template writes of
the turn up to and including its stop token, and nothing else is trained.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afterbase.core.chat.chat_template import FOLDED
from afterbase.core.chat.template_facts import template_of
from afterbase.core.tokens import Tokenized, mask_form, prompt_ids, training_rows
from afterbase.data.base_model import _with_settings
from template_toys import names, source, tokenizer


@dataclass(frozen=True)
class Kind:
    """A template with settings, and what it takes: thoughts always (True), never (False) or as it comes (None)."""

    name: str
    thoughts: bool | None = None
    thinking: bool | None = None

    def __str__(self) -> str:
        return self.name if self.thinking is None else f"{self.name}, thinking {self.thinking}"

    def tokenizer(self) -> Any:
        given = {} if self.thinking is None else {"enable_thinking": self.thinking}
        return tokenizer(_with_settings(source(self.name), given))


_THOUGHTS = {"gemma4": False}
KINDS = [
    *(Kind(name, thoughts=_THOUGHTS.get(name)) for name in names()),
    Kind("gemma4", thinking=True),
    *(Kind(name, thoughts=False, thinking=False) for name in ("qwen3", "glm4", "smollm3", "nemotron3")),
]
NO_CALLS = ("chatml", "deepseek-r1", "gemma2", "gemma3", "phi3", "phi4")
NO_DEFINITIONS = (*NO_CALLS, "deepseek-v3")

PIECES = ["there", " then", "\n\n", "  x", "42", "é你", '"', "\\", "{}", "</s>", "<|im_end|>", "<|user|>", "<turn|>"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=3).map("".join)
VALUES = TEXTS | st.integers(0, 99) | st.lists(TEXTS, max_size=2)
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("look_up", "add")
]


@st.composite
def conversations(draw, kind: Kind) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """One to five exchanges, some with a call of a tool between; with or without a system turn and definitions."""

    def answer(**further: Any) -> dict[str, Any]:
        words = draw(TEXTS) if "tool_calls" not in further else ""
        thinks = draw(st.booleans()) if kind.thoughts is None else kind.thoughts
        if kind.name == "deepseek-v3" and "tool_calls" in further:  # it leaves out calls beside a content
            thinks = False
        thought = f"<think>\n{draw(TEXTS)}hm.\n</think>\n\n" if thinks else ""
        return {"role": "assistant", "content": f"{thought}{words and 'So ' + words}", **further}

    messages = [{"role": "system", "content": f"Be {draw(TEXTS)}"}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 5))):
        messages.append({"role": "user", "content": f"Q{draw(TEXTS)}"})
        if kind.name not in NO_CALLS and draw(st.booleans()):
            arguments = draw(st.dictionaries(st.sampled_from(["city", "of", "a-b"]), VALUES, max_size=2))
            function = {"name": draw(st.sampled_from(["look_up", "add"])), "arguments": arguments}
            messages.append(answer(tool_calls=[{"id": "call00001", "type": "function", "function": function}]))
            result = {"role": "tool", "tool_call_id": "call00001", "name": function["name"]}
            messages.append({**result, "content": f"R{draw(TEXTS)}"})
        messages.append(answer())
    return messages, TOOLS if kind.name not in NO_DEFINITIONS and draw(st.booleans()) else None


def _runs(row: Tokenized) -> list[tuple[int, int]]:
    """Where each trained run begins and ends."""
    edges = [
        i for i in range(len(row.ids) + 1) if [False, *row.trained, False][i] != [False, *row.trained, False][i + 1]
    ]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _written(made: Any, messages: list[dict[str, Any]], tools: Any) -> str | None:
    """What the template itself writes of the last turn behind its own prompt; None where it writes it otherwise.

    With transformers alone, and so without what this project does of thoughts and calls.
    """
    if any("</think>" in m["content"] for m in messages):
        return None
    if "deepseek" in made.chat_template.casefold() and any("tool_calls" in m for m in messages):
        return None
    prompt, whole = (
        made.apply_chat_template(given, tools=tools, tokenize=False, add_generation_prompt=generation)
        for given, generation in ((messages[:-1], True), (messages, False))
    )
    return whole[len(prompt) :] if whole.startswith(prompt) else None


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_trained_is_what_generation_would_produce(kind, data):
    made = kind.tokenizer()
    messages, tools = data.draw(conversations(kind))
    answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    untrained = data.draw(st.sets(st.sampled_from(answers), max_size=len(answers) - 1))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=FOLDED)
        rows = training_rows(made, messages, untrained=untrained, tools=tools)
        prompts = {turn: prompt_ids(made, messages[:turn], tools) for turn in answers}
    runs = [(row, *run) for row in rows for run in _runs(row)]
    trained = [turn for turn in answers if turn not in untrained]
    assert len(runs) == len(trained), "each answer once, and nothing else"
    facts = template_of(made, tools)
    for turn, (row, start, end) in zip(trained, runs, strict=True):
        assert row.ids[:start] == prompts[turn], "behind the prompt of inference"
        ending = facts.call_ending if "tool_calls" in messages[turn] else facts.ending
        assert ending is not None
        stop = made.convert_tokens_to_ids(ending.mark)
        assert row.ids[start:end].index(stop) == end - start - 1, "generation would have stopped there"
        said = made.decode(row.ids[start:end])
        *_, words = messages[turn]["content"].rpartition("</think>")
        assert words.strip() in said
        assert all(call["function"]["name"] in said for call in messages[turn].get("tool_calls", ()))
        if facts.system or messages[0]["role"] != "system":
            written = _written(made, messages[: turn + 1], tools)
            assert written is None or (written + ending.mark).startswith(said), "what the template itself writes"


def test_the_three_forms_of_masks_are_all_met():
    messages = [{"role": role, "content": "Hm."} for role in ("user", "assistant") * 2]
    found = {}
    for name in ("chatml", "qwen3", "smollm3"):
        made = tokenizer(source(name))
        found[name] = mask_form(made, training_rows(made, messages))
    assert found == {"chatml": "prefix", "qwen3": "row_per_turn", "smollm3": "generation_tags"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "bos_token" in source(kind.name)], ids=str)
def test_the_token_that_begins_a_text_is_there_once(kind):
    """A template writes it, and the tokenizer would add it once more."""
    made = kind.tokenizer()
    assert made.bos_token_id == 1
    made.add_bos_token = True
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nb\n</think>\n\nc"}]
    if kind.thoughts is False:
        messages[1]["content"] = "c"
    assert prompt_ids(made, messages[:1]).count(1) == 1
    assert [row.ids.count(1) for row in training_rows(made, messages)] == [1]
