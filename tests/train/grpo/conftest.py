"""Models that toy runs of GRPO begin with."""

import pytest
import torch

from afterbase.model.load import load, save
from afterbase.reward.scalar import new_reward_model, save_reward_model


@pytest.fixture
def model(toy_lm, artifact):
    return artifact("model", lambda folder: save(toy_lm, folder))


@pytest.fixture
def reward_model(toy_folder, artifact):
    """A reward model of no merit, but one that tells answers apart."""
    rm = new_reward_model(load(toy_folder))
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    return artifact("reward model", lambda folder: save_reward_model(rm, folder))
