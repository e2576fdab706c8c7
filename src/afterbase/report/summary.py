"""What a run tells the report: one plain JSON object, `runs/NAME/run.json`.

Shares and scores are fractions of 1, lengths are tokens, times are seconds; None is "does not apply". The order of
`evaluations` is the order of the recipe: the base first, the final checkpoint last.
"""

from typing import TypedDict

from afterbase.eval.summarise import Comparison, Evaluation


class Machine(TypedDict):
    """Where the run took place; `commit` of afterbase itself."""

    cpu: str
    cores: int
    torch: str
    transformers: str
    commit: str


class Stage(TypedDict):
    """One stage of the run: `stage` is its kind, `inputs` are names of earlier stages, `cached` means not run again."""

    name: str
    stage: str
    key: str
    digest: str
    cached: bool
    seconds: float
    inputs: list[str]


class CurveSeries(TypedDict):
    """One line: [x, value] pairs; a value that is not finite is left out of the drawing."""

    name: str
    points: list[list[float]]


class Curve(TypedDict):
    """One small chart: `x` names the horizontal axis, `unit` the vertical one."""

    title: str
    x: str
    unit: str
    series: list[CurveSeries]


class Flow(TypedDict):
    """What one stage did to the rows of one domain; `dropped` counts rows by the rule that dropped them."""

    stage: str
    domain: str
    made: int
    kept: int
    dropped: dict[str, int]


class ExampleAnswer(TypedDict):
    """One checkpoint's answer, as generated: untrusted text. `status` is ok, wrong, failed, or scored (a reward).

    `tokens` is None where the length was not recorded.
    """

    checkpoint: str
    text: str
    status: str
    reason: str
    tokens: int | None


class Example(TypedDict):
    """One problem and what the checkpoints made of it, in the order of the recipe."""

    domain: str
    prompt: str
    answers: list[ExampleAnswer]


class Turned(TypedDict):
    """Verdicts on one domain's greedy answers, base and final: `gained` problems turned right, `lost` ones wrong."""

    domain: str
    n: int
    gained: int
    lost: int


class Measure(TypedDict):
    """A number that a training measured of itself, at its beginning (None: measured once) and at its end.

    `low` to `high` is the 95% interval of `after`, on `n` rows, pairs or problems; None where there is none.
    """

    name: str
    unit: str
    before: float | None
    after: float
    low: float | None
    high: float | None
    n: int | None
    when: str
    """Between which steps, or of how many of them the two are means."""


class Span(TypedDict):
    """Neighbouring tokens, as text, that all bear loss or all do not."""

    text: str
    trained: bool


class TrainingSample(TypedDict):
    """One sample as the trainer sees it, cut where the loss mask changes."""

    domain: str
    kind: str
    spans: list[Span]


class ExpertLoad(TypedDict):
    """Load of the busiest expert over the mean load, in one layer, with and without the balancing bias."""

    layer: int
    balanced_max_over_mean: float
    unbalanced_max_over_mean: float


class ModelFacts(TypedDict):
    """The final model. `expert_load` is empty for a dense one; `mtp_acceptance` is None without a draft module."""

    parameters: int
    expert_load: list[ExpertLoad]
    mtp_acceptance: float | None


class Summary(TypedDict):
    """A whole run."""

    run: str
    created: str
    recipe_toml: str
    machine: Machine
    seconds_total: float
    stages: list[Stage]
    evaluations: list[Evaluation]
    comparisons: list[Comparison]
    curves: list[Curve]
    flow: list[Flow]
    examples: list[Example]
    turned: list[Turned]
    measures: list[Measure]
    """Of the last stage, where nothing evaluates its model."""
    training_samples: list[TrainingSample]
    model: ModelFacts
    notes: list[str]
    model_folder: str | None
    """Where the final model was handed over."""
    unfinished: str | None
    """Why the run stopped early; None where it did not."""
