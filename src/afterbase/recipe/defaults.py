"""What a practitioner would set for a model of some size: learning rates, warm-up, rows of a step, epochs.

Learning rates fall with size. Sources of the columns:
- SFT: 1e-3 for the shipped tiny model (recipes/quickstart.toml), 1e-4 for some hundred millions (a tenth of SmolLM2's,
  arXiv 2502.02737, which saw a million rows), 2e-5 for 7B and 13B (Llama 2, arXiv 2307.09288; Zephyr, 2310.16944), 1e-5
  and 5e-6 above (DeepSeek-V3 2412.19437 goes from 5e-6 to 1e-6).
- LoRA: ten times the rate of full training (Schulman et al. 2025, "LoRA Without Regret"); five times for the shipped
  tiny model, where ten are beyond the best (docs/log.md).
- Preferences: 5e-7 for 7B (Zephyr; Tulu 3, 2411.15124), 5e-6 for small ones (KTO's, 2402.01306, and SmolLM2's).
- Reward models: 1e-5 for 7B, 5e-6 for 70B (Llama 2).
- GRPO: 1e-6 for 7B (DeepSeekMath, 2402.03300); 3e-6 for SmolLM2-135M and 3e-4 for tiny-v3 (recipes/).
"""

from typing import Literal, NamedTuple

Stage = Literal["sft", "dpo", "kto", "reward_model", "grpo"]
_WARMUP = 0.05  # of all steps
_MOST_WARMUP = 100
_FEW_ROWS = 1000  # below, an epoch more
_STEPS = 25  # of an epoch at least, before a step gets more rows
_MOST_ROWS = 16
_SHORTEST_ROW, _USUAL_ROW, _LONGEST_ROW = 64, 2048, 16384  # tokens


class _Rates(NamedTuple):
    most: float
    """Parameters up to which they hold."""
    sft: float
    preference: float
    reward_model: float
    grpo: float
    lora: float = 10
    """Times the learning rate of full training."""


_BY_SIZE = (
    _Rates(2e7, 1e-3, 2e-4, 1e-3, 3e-4, lora=5),
    _Rates(1e9, 1e-4, 5e-6, 3e-5, 3e-6),
    _Rates(2e10, 2e-5, 5e-7, 1e-5, 1e-6),
    _Rates(1.2e11, 1e-5, 5e-7, 5e-6, 1e-6),
    _Rates(float("inf"), 5e-6, 5e-7, 5e-6, 1e-6),
)


def learning_rate(stage: Stage, parameters: int, *, lora: bool) -> float:
    """The peak learning rate of a stage for a model of so many parameters.

    >>> learning_rate("sft", 7_000_000_000, lora=False), learning_rate("sft", 7_000_000_000, lora=True)
    (2e-05, 0.0002)
    """
    rates = next(rates for rates in _BY_SIZE if parameters <= rates.most)
    rate = {"dpo": rates.preference, "kto": rates.preference}.get(stage) or getattr(rates, stage)
    return float(f"{rate * rates.lora:.3g}") if lora else rate


def optimisation(stage: Stage, parameters: int, *, steps: int, lora: bool) -> dict[str, float | int]:
    """The settings of AdamW as a recipe's table: the peak, and a warm-up of a twentieth of the steps.

    Where the rate ends is left to the schedule: a tenth of the peak, and of a constant one the peak.

    >>> optimisation("dpo", 135_000_000, steps=60, lora=False)
    {'learning_rate': 5e-06, 'warmup_steps': 3}
    """
    peak = learning_rate(stage, parameters, lora=lora)
    return {"learning_rate": peak, "warmup_steps": min(_MOST_WARMUP, round(_WARMUP * steps))}


def threads(parameters: int) -> dict[str, int]:
    """Threads of a run as a recipe's table: one for the smallest models, else what the recipe's own default is.

    Products of small matrices gain nothing from a second thread, and on shared cores the threads wait for each other
    (docs/log.md, "two threads on two shared cores").

    >>> threads(4_000_000), threads(135_000_000)
    ({'threads': 1}, {})
    """
    return {"threads": 1} if parameters <= _BY_SIZE[0].most else {}


def preference_epochs(rows: int) -> int:
    """Passes over preferences: one, as is usual; of a few three, or there would be next to no steps.

    >>> preference_epochs(200), preference_epochs(50_000)
    (3, 1)
    """
    return 3 if rows < _FEW_ROWS else 1


def epochs(rows: int) -> int:
    """Passes over the rows: two, as the V3 report's; of a few rows three.

    >>> epochs(200), epochs(50_000)
    (3, 2)
    """
    return 3 if rows < _FEW_ROWS else 2


def row_tokens(tokens: int, longest: int, context: float) -> int:
    """Tokens of a packed row, a power of two: of few tokens in all so short that an epoch has some steps.

    It never is shorter than the longest sample, nor longer than the context; 2048 where there is enough.

    >>> row_tokens(6_000, 90, 8192), row_tokens(10**6, 300, 8192), row_tokens(10**6, 9000, 4096)
    (256, 2048, 4096)
    """
    size = _SHORTEST_ROW
    while size < min(longest, _LONGEST_ROW) or (size < _USUAL_ROW and size * _STEPS < tokens):
        size *= 2
    return int(min(size, context))


def rows_per_step(rows: int) -> int:
    """Rows of a step such that an epoch has some steps: a power of two up to 16.

    >>> rows_per_step(30), rows_per_step(120), rows_per_step(5000)
    (1, 4, 16)
    """
    size = 1
    while size < _MOST_ROWS and rows / (2 * size) >= _STEPS:
        size *= 2
    return size
