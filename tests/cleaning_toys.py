"""A set of samples that breaks each rule of cleaning once, and what is to become of each row."""

import random

from afterbase.core.sample import Sample, conversation

BENCHMARK = "If a train leaves at noon and drives for three hours at fifty miles an hour how far does it come then"


def prose(seed: int, words: int = 60) -> str:
    rng = random.Random(seed)
    return " ".join(f"word{rng.randrange(5000)}" for _ in range(words))


def sample(answer: str, *, prompt: str = "Tell me.", domain: str = "chat", **fields) -> Sample:
    return Sample(
        messages=conversation(prompt, answer), domain=domain, kind="open", problem_id=None, producer={"name": "toy"},
        **fields,
    )  # fmt: skip


SAMPLES = [
    sample(prose(0)),
    sample(prose(1)).drop("curate", "wrong", 0.5),
    sample(prose(0), prompt=" Tell  me. "),
    sample(prose(0) + " more"),
    sample("Mail jane@gmail.com"),
    sample(prose(2), prompt=BENCHMARK),
    sample("wait, let me check. " * 40),
    sample("cut off<|im_end|>"),
    sample(prose(1)),
    sample(prose(3), domain="maths"),
    sample("So we get x=3. 因此答案是 3", domain="maths"),
]
RULES = [
    None,
    ("curate", "wrong"),
    ("dedup", "exact duplicate"),
    ("dedup", "near duplicate"),
    ("filter", "personal: email"),
    ("decontaminate", "contaminated: trains"),
    ("filter", "repetition: n-grams"),
    ("filter", "format: template markup"),
    None,
    None,
    ("filter", "language: mixed"),
]


def rules(samples: list[Sample]) -> list[tuple[str, str] | None]:
    return [s.dropped and (s.dropped.stage, s.dropped.rule) for s in samples]
