"""What every recipe says of its run."""

from pydantic import Field

from afterbase.core.config import Config, How
from afterbase.recipe.run_settings import ModelRunSettings, RunSettings, usable_cores


class Stage(Config):
    steps: int = 3
    device: How[str] = "auto"


class Expert(Config):
    sft: Stage = Stage()


class Toy(ModelRunSettings):
    expert: Expert = Expert()
    named: dict[str, Stage] = Field(default_factory=dict)
    absent: Stage | None = None


def _toy(**given: object) -> Toy:
    return Toy.model_validate({"name": "toy", "base": "tiny-v3", **given})


def test_a_recipe_needs_a_name_and_a_base_only():
    toy = _toy()
    assert (toy.device, toy.seeds, toy.processes, toy.threads) == ("auto", (0,), 1, usable_cores())
    assert RunSettings(name="x", processes=10_000).threads == 1


def test_the_device_reaches_every_stage_that_names_none():
    own = Stage(device="cuda")
    toy = _toy(device="cpu", named={"a": Stage(), "b": own})
    assert toy.expert.sft.device == "cpu"
    assert (toy.named["a"].device, toy.named["b"].device) == ("cpu", "cuda")
    assert toy.absent is None
    assert _toy(device="cuda").expert.sft.device == "auto"  # which is CUDA where the stage can use it
    assert Expert().sft.device == "auto"  # a default that others share is not changed
    assert _toy().expert.sft.device == "auto"
