"""The settings of the training stages, without what trains: a recipe is checked before torch is imported."""

from typing import Literal, Self

from pydantic import Field, model_validator

from afterbase.core.config import Config, How
from afterbase.core.errors import UserError


class Optimisation(Config):
    """AdamW with decoupled weight decay, linear warm-up, then the schedule."""

    learning_rate: float = Field(gt=0)
    """Peak learning rate."""
    floor: float | None = Field(default=None, ge=0)
    """Learning rate of the last step; None: a tenth of the peak. A constant rate has none."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the rate goes from the peak to the floor, or that it stays at the peak."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps in which the learning rate rises from 0 to its peak."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decays of AdamW's first and second moments, a step."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Share of a weight that a step at learning rate 1 takes away."""
    clip: float = Field(default=1.0, gt=0)
    """Largest global gradient norm that an update sees."""
    explosion: float = Field(default=1000.0, gt=0)
    """A step whose gradient norm is above this, or not finite, is skipped and counted."""

    @model_validator(mode="after")
    def _constant_rate_has_no_floor(self) -> Self:
        if self.schedule == "constant" and self.floor is not None:
            raise UserError(
                "a constant learning rate stays at its peak",
                got=f"schedule = constant and floor = {self.floor}",
                remedy="leave `floor` out, or use the schedule `cosine` or `linear`",
            )
        return self

    @property
    def last_rate(self) -> float:
        """Learning rate of the last step of a whole run."""
        if self.schedule == "constant":
            return self.learning_rate
        return 0.1 * self.learning_rate if self.floor is None else self.floor


class Training(Config):
    """What every training stage's settings have in common."""

    optimisation: Optimisation
    """Learning rate, schedule and AdamW's settings."""
    compute: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products; weights and optimizer states are float32 always. bfloat16 pays where the hardware has it."""
    device: How[Literal["auto", "cpu", "cuda"]] = "auto"
    """Where it trains; auto: on CUDA where there is a device that the stage can use."""
    recompute: How[bool] = False
    """Keep no activations within a layer but compute them again in the backward pass: less memory, more work."""
    checkpoint_every: How[int] = Field(default=50, ge=1)
    """Steps between checkpoints to resume from."""
    keep_checkpoints: How[int] = Field(default=0, ge=0)
    """So many latest checkpoints, and the best where one is measured, stay beside the result as model folders."""
    keep_state: How[bool] = True
    """Of a constant schedule: the last training state stays beside the result, three times the weights in float32, and
    a run with more steps goes on from it. Twice as much where a measured step before the last is the best."""


class Lora(Config):
    """The additions B A x alpha / rank."""

    rank: int = Field(default=16, ge=1)
    """Rows of A and columns of B."""
    alpha: int = Field(default=32, ge=1)
    """The additions are scaled by alpha / rank."""
    targets: Literal["linear", "attention"] = "linear"
    """Beside all linear layers but the head, or those of attention alone. A model with experts has the latter only."""


class EvaluatedTraining(Training):
    """Training that can be measured on held-out rows, and can train additions alone."""

    eval_every: int | None = Field(default=None, ge=1)
    """Steps between measurements on the held-out rows, which the last step ends with; None: none while it trains."""
    keep_best: bool = True
    """With `eval_every` the result is the measured step with the best score, the earliest of equals; else the last."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many measurements without a better score; None: never."""
    lora: Lora | None = None
    """Train low-rank additions to the weights instead of the weights; they are merged into the result."""

    @model_validator(mode="after")
    def _patience_with_measurements(self) -> Self:
        if self.patience is not None and self.eval_every is None:
            raise UserError(
                "patience counts measurements on held-out rows",
                got=f"patience = {self.patience} without `eval_every`",
                remedy="set `eval_every`, or leave `patience` out",
            )
        return self


class Sft(EvaluatedTraining):
    """One run of supervised fine-tuning."""

    epochs: int = Field(default=2, ge=1)
    """Passes over the samples."""
    row_tokens: int = Field(default=2048, ge=64)
    """Tokens of a packed row."""
    too_long: Literal["drop", "split"] = "drop"
    """A sample longer than a row, the model's context or its chunk is left out and counted, or cut into pieces."""
    rows_per_step: int = Field(default=1, ge=1)
    """Packed rows of one update."""
    mtp_weight: float = Field(default=0.1, ge=0)
    """Lambda of the multi-token prediction loss, for models that have such a module."""
    mtp_detached: bool = False
    """The multi-token prediction loss moves its own module only, and nothing of the trunk."""
    held_out: float = Field(default=0.0, ge=0, lt=1)
    """Share of the samples, at least one unless 0, that is kept to measure the model by where no rows are given."""


class TokenizerSettings(Config):
    """Size of the vocabulary, and how much text it is fitted on."""

    vocabulary: int = Field(ge=300)
    """Entries, special tokens among them."""
    documents: int = Field(ge=1)
    """Documents of the corpus that it is fitted on."""
    dialogues: int = Field(ge=0)
    """Dialogues in the chat form that it is fitted on."""


class Architecture(Config):
    """DeepSeek-V3's shape; field names are those of its `config.json`."""

    hidden_size: int
    """Width of the residual stream."""
    intermediate_size: int
    """Width of the dense layers' feed-forward part."""
    moe_intermediate_size: int
    """Width of one expert."""
    num_hidden_layers: int
    """Layers, dense ones among them."""
    num_attention_heads: int
    """Heads of each layer."""
    n_shared_experts: int
    """Experts that every token goes through."""
    n_routed_experts: int
    """Experts that tokens are routed to."""
    num_experts_per_tok: int
    """Routed experts of a token."""
    n_group: int
    """Groups of routed experts."""
    topk_group: int
    """Groups that a token's experts come from."""
    routed_scaling_factor: float
    """What the routed experts' output is multiplied by."""
    first_k_dense_replace: int
    """First layers that are dense."""
    kv_lora_rank: int
    """Width of the compressed keys and values."""
    q_lora_rank: int
    """Width of the compressed queries."""
    qk_nope_head_dim: int
    """Width of a head's part without positions."""
    qk_rope_head_dim: int
    """Width of a head's part with rotary positions."""
    v_head_dim: int
    """Width of a head's values."""
    num_nextn_predict_layers: int = Field(ge=1, le=1)
    """Depth of the multi-token prediction: this code has one module."""
    max_position_embeddings: int
    """Tokens of the context."""
    initializer_range: float
    """Standard deviation of the initial weights; the report's 0.006 belongs to a width of 7168."""


class Pretraining(Training):
    """One run over the corpus."""

    steps: int = Field(ge=1)
    """Updates."""
    decay_steps: int | None = None
    """Length of the learning rate's cosine where another phase takes over before its end; None: `steps`."""
    row_tokens: int = Field(ge=64)
    """Tokens of one step: documents are cut from the corpus in order until the row is full."""
    mtp_weight: float = Field(default=0.3, ge=0)
    """Lambda of the multi-token prediction loss; by default that of the report, section 4.2, as are the next two."""
    balance_speed: float = Field(default=0.001, ge=0)
    """Gamma: how far a router's bias moves a step; 0 switches balancing off."""
    balance_loss: float = Field(default=0.0001, ge=0)
    """Alpha of the sequence-wise balance loss."""
    checkpoint_every: How[int] = Field(default=100, ge=1)
    """Steps between checkpoints to resume from."""
    seed: int = 0
    """Of the initial weights and the order of documents."""
