"""What every recipe says of its run: its name, the model, the device, threads and seeds."""

import os
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from afterbase.core.config import Config, How
from afterbase.core.errors import UserError
from afterbase.data.generate.teacher import Teacher


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


class RunSettings(Config):
    """Of a run of any kind."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Of the run and its folder `runs/NAME`: small letters, digits, `-` and `_`."""
    device: How[Literal["auto", "cpu", "cuda"]] = "auto"
    """Where stages train; auto: on CUDA where there is a device that the stage can use; cuda: the same, and a run
    without such a device is refused. GRPO and pre-training stay on the CPU. A stage's own `device` goes before it."""
    processes: How[int] = Field(default=1, ge=1)
    """Stages that are worked on at once: experts, variants and seeds."""
    threads: int = Field(default_factory=lambda given: max(1, usable_cores() // given.get("processes", 1)), ge=1)
    """Threads of each process; by default its share of the cores. Another number moves the last digits of results."""

    @model_validator(mode="after")
    def _device_of_all(self) -> Self:
        """The recipe's device, in each stage's settings that name none; `auto` takes CUDA where a stage can use it."""
        if self.device == "cpu":
            # This object is new, although frozen; tables within it may be somebody else's, and are copied.
            vars(self).update(_changes(self))
        return self


class ModelRunSettings(RunSettings):
    """Of a run that starts from a model."""

    base: str
    """The model to start from: a shipped model's name, or the path of a Hugging Face folder."""
    chat_template: str | None = None
    """Another chat template for the model: a file of Jinja, or a shipped one's name, such as `chatml`."""
    template_args: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Settings that the model's chat template reads, such as `enable_thinking`; they are written into it."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """The whole recipe runs once a seed; evaluations pool them."""

    def teachers(self) -> list[Teacher]:
        """All who write drafts or answers for the recipe; nobody, unless its kind has teachers."""
        return []

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise UserError(
                "a seed twice is the same run twice", got=f"{list(seeds)}", remedy="make the seeds distinct"
            )
        return seeds


def _changes(config: Config) -> dict[str, Any]:
    """The fields of a config that change where all settings below it are of the CPU."""
    with_it = {name: _on_cpu(value) for name, value in config}
    return {name: value for name, value in with_it.items() if value is not getattr(config, name)}


def _on_cpu(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _on_cpu(item) for name, item in value.items()}
    if not isinstance(value, Config):
        return value
    own = "device" not in type(value).model_fields or "device" in value.model_fields_set
    return value.model_copy(update={**_changes(value), **({} if own else {"device": "cpu"})})
