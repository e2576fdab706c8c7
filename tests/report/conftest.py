"""A run that might have been: made-up answers go through the real statistics, the rest is written by hand."""

import random

import pytest

from afterbase.eval.summarise import Pair, Row, compare, summarise
from afterbase.report.summary import Curve, Summary

HOSTILE = '<script>alert(1)</script><img src="http://evil.example/x.png" onerror=alert(1)>'
LADDER = {  # checkpoint, system prompt: accuracy and mean length
    ("base", False): (0.04, 96),
    ("expert SFT", True): (0.55, 168),
    ("expert SFT", False): (0.46, 88),
    ("expert", False): (0.74, 102),
    ("teacher only", True): (0.62, 176),
    ("original only", False): (0.45, 44),
    ("SFT", False): (0.66, 58),
    ("GRPO", False): (0.78, 54),
}
OPEN = ("base", "SFT", "GRPO")
HARDNESS = {"arithmetic": (0.1, 0.8), "code": (-0.17, 1.3), "logic": (-0.06, 1.6), "chat": (-0.1, 0.5)}


def _rows() -> list[Row]:
    rng = random.Random(5)
    rows = []
    for (checkpoint, system_prompt), (skill, length) in LADDER.items():
        for domain, (easier, longer) in HARDNESS.items():
            if domain == "chat" and checkpoint not in OPEN:
                continue
            for problem in range(60):
                chance = min(0.98, max(0.0, skill + easier + rng.gauss(0, 0.2)))
                for decoding, samples in (("greedy", 1), ("sampled", 8)):
                    for index in range(samples):
                        right = rng.random() < chance
                        count = max(3, round(rng.gauss(length * longer * (1 if right else 1.2), 12)))
                        status = "failed" if rng.random() < 0.0005 else "ok" if right else "wrong"
                        rows.append(
                            Row(
                                checkpoint=checkpoint,
                                domain=domain,
                                decoding=decoding,
                                system_prompt=system_prompt,
                                problem_id=f"{domain}-{problem}",
                                sample_index=index,
                                status=status,
                                value=float(right),
                                answer=None if domain in ("chat", "code") else "4" if right else str(rng.randint(5, 9)),
                                tokens=count,
                                truncated=count > 250,
                                well_formed=right or rng.random() < 0.7,
                            )
                        )
    return rows


def _pairs() -> list[Pair]:
    asked = [("expert SFT", "expert", False), ("base", "SFT", False), ("SFT", "GRPO", False)]
    asked += [("teacher only", "expert", True), ("original only", "SFT", False)]
    domains = ("arithmetic", "code", "logic", None)
    return [Pair(a, b, domain, "sampled", prompt, False) for a, b, prompt in asked for domain in domains]


def _curves() -> list[Curve]:
    rng = random.Random(9)

    def noisy(start: float, end: float, steps: int, noise: float, half: float) -> list[list[float]]:
        return [[s, end + (start - end) * half / (half + s) + rng.gauss(0, noise)] for s in range(steps)]

    curves: list[Curve] = []
    for domain in ("arithmetic", "code", "logic"):
        curves.append(
            {
                "title": f"expert {domain}: SFT",
                "x": "step",
                "unit": "nats a trained token",
                "series": [{"name": "training loss", "points": noisy(4.2, 0.35, 300, 0.05, 20)}],
            }
        )
        curves.append(
            {
                "title": f"expert {domain}: GRPO",
                "x": "step",
                "unit": "share of 1",
                "series": [
                    {"name": "reward", "points": noisy(0.42, 0.9, 60, 0.04, 12)},
                    {"name": "solved at least once", "points": noisy(0.7, 0.98, 60, 0.02, 8)},
                    {"name": "groups without variance", "points": [*noisy(0.1, 0.6, 60, 0.03, 30), [61, float("nan")]]},
                ],
            }
        )
    return curves


@pytest.fixture(scope="session")
def summary() -> Summary:
    rows = _rows()
    return make_summary(rows)


def make_summary(rows: list[Row] | None = None) -> Summary:
    rows = rows or _rows()
    names = ["base", "problems", "arithmetic expert", "arithmetic curated", "SFT", "GRPO", "evaluation"]
    return {
        "run": "quickstart",
        "created": "2026-02-03 14:05 UTC",
        "recipe_toml": '[run]\nname = "quickstart"\nseed = 7\n\n[grpo]\ngroup = 8  # see https://arxiv.org/abs/2402.03300\n',
        "machine": {
            "cpu": "AMD EPYC 7763",
            "cores": 2,
            "torch": "2.13.0+cpu",
            "transformers": "5.23.0",
            "commit": "3f9c1d2a77b0",
        },
        "seconds_total": 1512.4,
        "stages": [
            {
                "name": name,
                "stage": name.split()[-1],
                "key": f"{random.Random(name).getrandbits(256):064x}",
                "digest": f"{random.Random(name + '!').getrandbits(256):064x}",
                "cached": index < 2,
                "seconds": 0.3 + 97.3 * index,
                "inputs": names[max(0, index - 2) : index],
            }
            for index, name in enumerate(names)
        ],
        "evaluations": summarise(rows),
        "comparisons": compare(rows, _pairs()),
        "curves": _curves(),
        "flow": [
            {"stage": "draft", "domain": "arithmetic", "made": 2400, "kept": 2400, "dropped": {}},
            {
                "stage": "curate",
                "domain": "arithmetic",
                "made": 4800,
                "kept": 1163,
                "dropped": {"wrong": 1711, "duplicate": 812, "not shortest": 1002, "truncated": 112},
            },
            {
                "stage": "curate",
                "domain": "code",
                "made": 4800,
                "kept": 702,
                "dropped": {"wrong": 3911, "compile": 187},
            },
            {"stage": "clean", "domain": "chat", "made": 900, "kept": 871, "dropped": {"contaminated": 29}},
        ],
        "examples": [
            {
                "domain": "arithmetic",
                "prompt": "Mia has 14 apples. She gives 5 to Tom and buys 8 more. How many apples does she have now?",
                "answers": [
                    {
                        "checkpoint": "base",
                        "text": "Mia has 14 apples and the box is red. " * 9 + HOSTILE,
                        "status": "wrong",
                        "reason": "no answer",
                        "tokens": 128,
                    },
                    {
                        "checkpoint": "GRPO",
                        "text": "14 - 5 = 9\n9 + 8 = 17\nCheck: 17 - 8 + 5 = 14.\n\\boxed{17}",
                        "status": "ok",
                        "reason": "match",
                        "tokens": 41,
                    },
                ],
            },
            {
                "domain": "code",
                "prompt": "Write a function `double_all(xs)` that returns a list in which every number is doubled.\n"
                "Put it in a fenced block, and do not print anything; negative numbers may occur.",
                "answers": [
                    {
                        "checkpoint": "base",
                        "text": "def def \x1b[31m \u202e the",
                        "status": "wrong",
                        "reason": "compile",
                        "tokens": 9,
                    },
                    {
                        "checkpoint": "GRPO",
                        "text": "```python\ndef double_all(xs):\n    return [2 * x for x in xs]\n```",
                        "status": "failed",
                        "reason": "sandbox",
                        "tokens": 33,
                    },
                ],
            },
        ],
        "turned": [
            {"domain": "arithmetic", "n": 60, "gained": 41, "lost": 2},
            {"domain": "code", "n": 59, "gained": 33, "lost": 0},
        ],
        "measures": [],
        "training_samples": [
            {
                "domain": "arithmetic",
                "kind": "curated",
                "spans": [
                    {"text": "<|user|>What is 3 + 4?<|end|>\n<|assistant|>", "trained": False},
                    {"text": "3 + 4 = 7\n\\boxed{7}<|end|>", "trained": True},
                    {"text": "\n<|user|>Say hello & <b>wave</b>.<|end|>\n<|assistant|>", "trained": False},
                    {"text": "Hello! Nice to meet you.<|end|>", "trained": True},
                ],
            }
        ],
        "model": {
            "parameters": 4_183_552,
            "expert_load": [
                {"layer": 1, "balanced_max_over_mean": 1.08, "unbalanced_max_over_mean": 2.41},
                {"layer": 2, "balanced_max_over_mean": 1.12, "unbalanced_max_over_mean": 1.97},
            ],
            "mtp_acceptance": 0.71,
        },
        "notes": ["The sandbox ran without cgroups: memory was limited by rlimit only."],
        "model_folder": "runs/quickstart/model",
        "unfinished": None,
    }
