"""Settings and problems of toy runs of GRPO."""

from afterbase.core.sample import Problem, write_problems
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.objective import Objective
from afterbase.train.optimizer import Optimisation

CONFIG = Grpo(
    steps=6,
    prompts=2,
    samples=4,
    temperature=1.2,
    max_new_tokens=8,
    length_weight=0.2,
    objective=Objective(preset="dr_grpo", standardise=True),
    optimisation=Optimisation(learning_rate=1e-2, floor=1e-3),
    row_tokens=64,
    checkpoint_every=2,
)


def settings(**changes) -> Grpo:
    """Validated anew, unlike `model_copy`."""
    return Grpo(**{**{name: getattr(CONFIG, name) for name in CONFIG.model_fields_set}, **changes})


def toy_problems(count: int, verifier: str = "rubric") -> list[Problem]:
    return [
        Problem(domain="toy", prompt=f"{verifier} {i}?", gold=None, verifier=verifier, spec={"answer": "1"})
        for i in range(count)
    ]


def problem_set(artifact, name: str, problems: list[Problem]):
    return artifact(name, lambda folder: write_problems(folder / "train.parquet", problems))
