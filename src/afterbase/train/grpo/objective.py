"""What GRPO optimises, as one set of switches; every published variant is a named setting of them.

- `v3_eq26`: the V3 report, equations 26 to 28. Ratio and KL are of the answer as a whole, no 1/|o_i|.
- `grpo`: DeepSeekMath, arXiv 2402.03300. Per token, 1/|o_i|, beta 0.04.
- `dr_grpo`: arXiv 2503.20783. No standard deviation; divided by a constant length.
- `dapo`: arXiv 2503.14476. Clip 0.2 / 0.28, mean over tokens, groups of equal rewards resampled, soft overlong penalty.
- `gspo`: arXiv 2507.18071. The answer's ratio to the power 1/|o_i|; clip 3e-4 / 4e-4.
- `cispo`: MiniMax-M1, arXiv 2506.13585. The clipped ratio is a constant weight of grad log pi: no token loses its own.
- `v3.2`: DeepSeek-V3.2, arXiv 2512.02556, section 3.1. Unbiased KL, off-policy sequence mask, routing and sampling mask
  kept; the advantage without standard deviation.

Not published, and so ours: the clip and beta of `v3_eq26` (beta is R1's) and of `v3.2`, its threshold 0.5, and CISPO's
upper bound 5.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from afterbase.core.config import Config

PresetName = Literal["v3_eq26", "grpo", "dr_grpo", "dapo", "gspo", "cispo", "v3.2"]
PRESETS: dict[PresetName, dict[str, Any]] = {
    "v3_eq26": {"ratio": "sequence", "beta": 0.001},
    "grpo": {"beta": 0.04},
    "dr_grpo": {"standardise": False, "normalise": "constant"},
    "dapo": {"clip_high": 0.28, "normalise": "token", "dynamic_sampling": True, "overlong_buffer": 0.2},
    "gspo": {"ratio": "sequence_mean", "clip_low": 3e-4, "clip_high": 4e-4},
    "cispo": {"surrogate": "cispo", "clip_low": 1.0, "clip_high": 4.0, "normalise": "token"},
    "v3.2": {
        "standardise": False,
        "beta": 0.001,
        "kl": "rho_k3",
        "off_policy_delta": 0.5,
        "keep_routing": True,
        "keep_sampling_mask": True,
    },
}


class Objective(Config):
    """The switches; a key that is given beside `preset` wins over the preset's."""

    preset: PresetName = "grpo"
    """A published setting of all switches (the module's docstring names their papers)."""
    standardise: bool = True
    """Divide by the standard deviation of the group's rewards."""
    ratio: Literal["token", "sequence", "sequence_mean"] = "token"
    """pi / pi_old of each token, of the whole answer (of the KL too), or of the answer to the power 1/|o_i|."""
    surrogate: Literal["clip", "cispo"] = "clip"
    """min(rho A, clip(rho) A), or clip(rho) as a constant weight of A log pi."""
    clip_low: float = Field(default=0.2, ge=0, le=1)
    """How far below 1 the ratio may count."""
    clip_high: float = Field(default=0.2, gt=0)
    """The ratio is clipped to [1 - clip_low, 1 + clip_high]."""
    normalise: Literal["sequence", "token", "constant"] = "sequence"
    """Divide by each answer's own length, by the mean length, or by `max_new_tokens`; and by the number of answers."""
    beta: float = Field(default=0.0, ge=0)
    """Weight of the KL to the reference."""
    kl: Literal["k1", "k2", "k3", "rho_k3"] = "k3"
    """The estimator of the KL; `rho_k3` is k3 weighed by the ratio, whose gradient is unbiased."""
    kl_in: Literal["loss", "reward"] = "loss"
    """Whether the KL is a term of the loss or is taken from the rewards."""
    importance: Literal["none", "truncate", "mask"] = "none"
    """Weigh tokens by pi_trainer / pi_engine, cut off at `importance_cap`, or dropped above it."""
    importance_cap: float = Field(default=2.0, ge=1)
    """The largest weight of a token, or the weight above which it is dropped."""
    off_policy_delta: float | None = Field(default=None, gt=0)
    """Drop an answer with A < 0 whose mean log(pi_engine / pi) is above this."""
    dynamic_sampling: bool = False
    """Sample further prompts, up to three times as many, instead of groups whose rewards are all equal."""
    overlong_buffer: float = Field(default=0.0, ge=0, lt=1)
    """Share of `max_new_tokens`, at its end, over which a growing length costs up to 1."""
    keep_routing: bool = False
    """Train with the experts that the rollout chose; a model without experts has nothing to keep."""
    keep_sampling_mask: bool = False
    """Train under the mask of a rollout with `top_p` below 1."""

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        named = [switches for name, switches in PRESETS.items() if name == given.get("preset", "grpo")]
        return {**named[0], **given} if named else given
