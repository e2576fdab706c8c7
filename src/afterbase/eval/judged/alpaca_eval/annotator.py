"""AlpacaEval 2.0's annotator: the judge names the better of two outputs by one token, whose probability counts.

The outputs are shown as `m` (first) and `M`, in an order drawn by chance, seeded on the instruction. Of the five
likeliest tokens p(m) = e^lp(m) / (e^lp(m) + e^lp(M)); without either there is no preference. Written down in the form
of the public annotations.json: 1 the baseline, 2 the model. As tatsu-lab/alpaca_eval, weighted_alpaca_eval_gpt4_turbo;
the prompt is in our words.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from afterbase.eval.judged.questions import Instruction
from afterbase.rollout.chat_model import ChatModel, ChatRequest, Reply

_SYSTEM = """You put language models in order by how well people like what they write. You are given an instruction \
and the outputs of two models, and you name the model whose output people would prefer."""
_TASK = """The instruction:
<instruction>
{instruction}
</instruction>

The outputs, each with the name of its model:
<output model="m">
{m}
</output>
<output model="M">
{M}
</output>

Which model wrote the output that people prefer? Reply with its name alone: m or M."""


def shows_model_first(instruction: str) -> bool:
    """Whether the model's output is shown as `m`."""
    return hashlib.sha256(instruction.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 0


def request_of(instruction: str, *, baseline: str, model: str) -> ChatRequest:
    """What the judge is asked about one instruction."""
    m, other = (model, baseline) if shows_model_first(instruction) else (baseline, model)
    text = _TASK.format(instruction=instruction, m=m, M=other)
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": text}]
    return ChatRequest(messages=messages, temperature=1.0, max_tokens=1, top_logprobs=5, seed=0)


def probability_of_m(top: Mapping[str, float]) -> float | None:
    """p(m) of the two names, from natural log-probabilities; None where neither is among the candidates."""
    m, other = top.get("m", -math.inf), top.get("M", -math.inf)
    if m == other == -math.inf:
        return None
    highest = max(m, other)
    return math.exp(m - highest) / (math.exp(m - highest) + math.exp(other - highest))


def preference(instruction: str, reply: Reply) -> float | None:
    """In [1, 2]: 1 the baseline's output, 2 the model's; None where the judge names neither, or does not answer."""
    if not reply.logps:
        return None
    p = probability_of_m(reply.logps[0].top)
    if p is None:
        return None
    return 1 + p if shows_model_first(instruction) else 2 - p


def annotate(
    asked: ChatModel,
    instructions: Sequence[Instruction],
    outputs: Sequence[str],
    *,
    model: str,
    on_finished: Callable[[int, Any], None] | None = None,
) -> list[dict[str, Any]]:
    """The rows of annotations.json. A request that failed has no preference, as one without either name; of two equal
    outputs neither is preferred (1.5), and nobody is asked."""
    unequal = [i for i, row in enumerate(instructions) if row.output != outputs[i]]
    requests = [
        request_of(instructions[i].instruction, baseline=instructions[i].output, model=outputs[i]) for i in unequal
    ]
    results = dict(zip(unequal, asked.complete(requests, on_finished=on_finished), strict=True))
    preferred = [
        1.5 if i not in results else preference(row.instruction, results[i]) for i, row in enumerate(instructions)
    ]
    return [
        {
            "instruction": row.instruction,
            "dataset": row.dataset,
            "output_1": row.output,
            "output_2": output,
            "generator_1": row.generator,
            "generator_2": model,
            "preference": value,
        }
        for row, output, value in zip(instructions, outputs, preferred, strict=True)
    ]
