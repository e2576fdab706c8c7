"""Presets are settings of the same switches, and a switch that is given wins."""

import pytest
from pydantic import ValidationError

from afterbase.train.grpo.objective import PRESETS, Objective


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_preset_sets_its_switches(preset):
    objective = Objective(preset=preset)
    assert {name: getattr(objective, name) for name in PRESETS[preset]} == PRESETS[preset]
    rest = {name: value for name, value in objective if name not in PRESETS[preset]}
    defaults = {name: field.default for name, field in Objective.model_fields.items()}
    assert rest == {name: defaults[name] for name in rest} | {"preset": preset}


def test_what_is_given_wins_over_the_preset():
    assert Objective(preset="dapo", clip_high=0.5).clip_high == 0.5
    assert Objective(preset="dapo", clip_high=0.5).clip_low == 0.2


def test_presets_differ():
    assert len({str(Objective(preset=preset)).partition(" ")[2] for preset in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize("given", [{"preset": "ppo"}, {"preset": 3}, {"clip_low": 1.5}, {"beta": -1}, {"kl": "k4"}])
def test_nonsense_is_refused(given):
    with pytest.raises(ValidationError):
        Objective(**given)
