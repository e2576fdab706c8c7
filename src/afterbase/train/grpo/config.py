"""The settings of a GRPO run."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from afterbase.core.config import How
from afterbase.core.errors import UserError
from afterbase.reward.rule_settings import Rewards
from afterbase.train.config import EvaluatedTraining
from afterbase.train.grpo.objective import Objective


class Grpo(EvaluatedTraining):
    """One run of group relative policy optimisation."""

    steps: int = Field(default=100, ge=1)
    """Rollouts; each is followed by `epochs` x `minibatches` updates."""
    prompts: int = Field(default=8, ge=1)
    """P: prompts of a step."""
    samples: int = Field(default=8, ge=2)
    """G: samples of a prompt; a group of one has no baseline."""
    temperature: float = Field(default=1.0, gt=0)
    """The policy is softmax(logits / temperature), in rollout and training alike."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Below 1 only with `objective.keep_sampling_mask`: the ratio would be of two different policies."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Tokens of an answer at most."""
    length_weight: float = Field(default=0.0, ge=0, lt=1)
    """Share of a right answer's reward that using the whole budget costs."""
    rewards: Rewards | None = None
    """Rules beside the verdict, with weights and gates; none: the verdict alone (and `length_weight`)."""
    objective: Objective = Objective()
    """What is optimised; a preset, with switches beside it."""
    minibatches: int = Field(default=1, ge=1)
    """A rollout's groups are shared out over so many updates."""
    epochs: int = Field(default=1, ge=1)
    """Passes over a rollout."""
    reference_every: int | None = Field(default=None, ge=1)
    """Every so many rollouts the reference becomes the present policy; without it stays the stage's first model."""
    engine: Literal["local", "vllm"] = "local"
    """What samples: this process, or a vLLM server."""
    engine_url: How[str] = "http://127.0.0.1:8100"
    """Of the vLLM server, see `afterbase serve-rollouts`; its token is in the environment: AFTERBASE_ROLLOUT_TOKEN."""
    int8: bool = False
    """The local engine's matrix products in 8 bits: faster, another policy, so with `objective.importance`."""
    overlap: bool = False
    """Sample the next rollout while this one trains: one step off-policy, so with `objective.importance`."""
    difficulty_weighted: bool = False
    """Draw prompts by their solve rate so far, those of one half most often, in place of a shuffle."""
    probe_groups: int = Field(default=8, ge=0)
    """Groups that are looked at before the first update; the run is refused where none has rewards that differ."""
    hacking_window: int = Field(default=8, ge=0)
    """So many first and last steps are compared; the run stops where the reward model's scores have risen and what a
    rule says of the same answers has fallen. 0 never stops."""
    row_tokens: int = Field(default=4096, ge=64)
    """Tokens of the answers that are read at once."""
    mismatch_alarm: How[float] = Field(default=0.05, gt=0)
    """Nats a token between engine and trainer, on average, that stop the run: rounding in float32 is below 1e-4."""
    checkpoint_every: How[int] = Field(default=5, ge=1)
    """Rollouts between checkpoints."""
    eval_samples: int = Field(default=1, ge=1)
    """Answers to each held-out problem at a measurement: a single greedy one, or several at the temperature."""

    @field_validator("hacking_window")
    @classmethod
    def _two_steps_or_none(cls, window: int) -> int:
        if window == 1:
            raise UserError(
                "a change is told from chance by two steps and more",
                got="hacking_window = 1",
                remedy="set hacking_window to 2 or more, or to 0 to never stop",
            )
        return window

    @model_validator(mode="after")
    def _one_price_of_length(self) -> Self:
        if self.rewards is not None and self.rewards.length is not None and self.length_weight > 0:
            raise UserError(
                "length has one price",
                got=f"length_weight = {self.length_weight} and a table `rewards.length`",
                remedy="set length_weight to 0, or leave the table out",
            )
        return self

    @model_validator(mode="after")
    def _even_minibatches(self) -> Self:
        if self.prompts % self.minibatches:
            raise UserError(
                "the groups of a rollout are shared out evenly over its minibatches",
                got=f"prompts = {self.prompts}, minibatches = {self.minibatches}",
                remedy="make prompts a multiple of minibatches",
            )
        return self

    @model_validator(mode="after")
    def _one_policy_or_corrected(self) -> Self:
        """What samples is the policy that is trained, or the objective makes up for the difference."""
        if self.top_p < 1 and not self.objective.keep_sampling_mask:
            raise UserError(
                "top_p below 1 biases the ratio unless the sampling mask is replayed in training",
                got=f"top_p = {self.top_p}",
                remedy="set `objective.keep_sampling_mask = true`, or leave top_p at 1",
            )
        if (self.overlap or self.int8) and self.objective.importance == "none":
            raise UserError(
                "rollouts of a policy that is not quite the trained one have to be corrected",
                got=f"{'overlap' if self.overlap else 'int8'} = true with objective.importance = none",
                remedy='set `objective.importance = "truncate"` or "mask"',
            )
        return self

    @model_validator(mode="after")
    def _within_the_engine(self) -> Self:
        if self.engine == "vllm" and (self.int8 or self.top_p < 1):
            raise UserError(
                "8 bits and top_p with its mask are the local engine's",
                got=f"engine = vllm, int8 = {self.int8}, top_p = {self.top_p}",
                remedy='use `engine = "local"`, or neither of them',
            )
        return self

    @model_validator(mode="after")
    def _measured_beside_an_overlapping_rollout(self) -> Self:
        if self.engine == "vllm" and self.overlap and self.eval_every is not None:
            raise UserError(
                "a server that samples the next rollout cannot measure the present weights too",
                got=f"engine = vllm, overlap = true, eval_every = {self.eval_every}",
                remedy='use `engine = "local"`, or leave `overlap` or `eval_every` out',
            )
        return self

    def replaces_reference(self, update: int) -> bool:
        """Whether the reference becomes the present policy after this 0-based update."""
        return self.reference_every is not None and (update + 1) % (self.reference_every * self.updates) == 0

    @property
    def updates(self) -> int:
        """Updates of one rollout."""
        return self.epochs * self.minibatches
