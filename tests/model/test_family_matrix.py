"""The named families do all that a model is asked for, and other kinds are refused in one sentence."""

import pytest

from families_tried import FAMILIES, REFUSED
from family_matrix import CHECKS, Case, quiet, refusal

TRAINING = ("SFT", "LoRA", "DPO", "reward model", "GRPO")
TRAINED_HERE = "gpt-oss"  # windows, sinks, experts and a template that writes earlier turns anew


@pytest.fixture(scope="module", params=FAMILIES)
def case(request, tmp_path_factory) -> Case:
    with quiet():
        return Case(FAMILIES[request.param], tmp_path_factory.mktemp("family"))


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in TRAINING])
def test_a_named_family_does_what_it_is_asked_for(case, check):
    with quiet():
        CHECKS[check](case)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(name, check, marks=() if name == TRAINED_HERE else pytest.mark.slow)
        for name in FAMILIES
        for check in TRAINING
    ],
)
def test_a_named_family_is_trained_by_every_stage(name, check, tmp_path):
    with quiet():
        CHECKS[check](Case(FAMILIES[name], tmp_path))


@pytest.mark.parametrize("name", REFUSED)
def test_another_kind_is_refused_in_one_sentence(name, tmp_path):
    with quiet():
        said = refusal(REFUSED[name], tmp_path / "model")
    assert said
    assert "\n" not in said
