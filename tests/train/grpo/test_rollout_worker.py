"""Rollouts in order: the cursor that notes carry, the probe, a rollout model one step older under overlap."""

from functools import partial

import pytest
import torch

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.reward.route import Reward
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.groups import Rollout
from afterbase.train.grpo.objective import Objective
from afterbase.train.grpo.rollout_metrics import note_of, rollout_metrics
from afterbase.train.grpo.rollout_worker import RolloutWorker
from afterbase.train.grpo.stage import Run, probe, roll_out
from afterbase.train.optimizer import Optimisation

CONFIG = Grpo(
    steps=6, prompts=2, samples=4, temperature=1.2, max_new_tokens=6, length_weight=0.0,
    objective=Objective(preset="dr_grpo", importance="truncate"),
    optimisation=Optimisation(learning_rate=1e-2, floor=1e-3),
)  # fmt: skip
PROBLEMS = [Problem(domain="toy", prompt=f"{i}?", gold=None, verifier="rubric", spec={}) for i in range(5)]


class Sampler(RolloutWorker):
    """A worker with the stage's own rollouts and notes on them."""

    def __init__(self, lm, config: Grpo) -> None:
        super().__init__(lm, config)
        self.notes = []
        self.run = Run(
            lm=lm,
            reference=None,
            problems=PROBLEMS,
            held_out=[],
            reward=reward,
            config=config,
            seed=3,
            notes=self.notes,
        )

    def rollout(self, index: int) -> Rollout:
        rollout = self.take(index, partial(roll_out, self.run))
        seen = probe(self.run, self.engine, rollout) if index == 0 else None
        self.notes.append(note_of(index, rollout, rollout_metrics(rollout.sampled), seen))
        return rollout

    def start(self, index: int) -> None:
        self.begin(index, partial(roll_out, self.run))


def reward(answers, contexts) -> list[Reward]:
    return [Reward(float(i % 2), None) for i, _ in enumerate(answers)]


@pytest.fixture
def make(toy_lm):
    def sampler(**changes) -> Sampler:
        return Sampler(toy_lm, CONFIG.model_copy(update=changes))

    return sampler


def answers(rollout) -> list[list[list[int]]]:
    return [[c.token_ids for c in group.completions] for group in rollout.groups]


def test_a_sampler_with_the_notes_of_another_goes_on_where_that_one_was(make):
    with make() as first, make() as second:
        made = [first.rollout(index) for index in range(3)]
        second.notes += first.notes[:2]
        assert answers(second.rollout(2)) == answers(made[2]) != answers(made[1])
        assert second.notes == first.notes
    assert [note["cursor"] for note in first.notes] == [2, 4, 6]
    assert [note["step"] for note in first.notes] == [1, 2, 3]
    assert {g.problem.id for rollout in made for g in rollout.groups} == {p.id for p in PROBLEMS}


def test_the_first_rollout_is_probed_on_further_prompts_too(make):
    with make(probe_groups=4) as sampler:
        sampler.rollout(0)
        sampler.rollout(1)
    assert sampler.notes[0]["probe"]["equal_groups"] == 0.0
    assert sampler.notes[0]["cursor"] == 2, "what the probe looked at comes again"
    assert "probe" not in sampler.notes[1]


def test_overlapped_rollouts_have_the_weights_before_the_update(make, toy_lm):
    """Begun before the weights move, whenever they are asked for."""
    with make(overlap=True) as sampler, make() as plain:
        first = sampler.rollout(0)
        assert answers(first) == answers(plain.rollout(0))
        sampler.start(1)
        with torch.no_grad():
            for weight in toy_lm.model.parameters():
                weight.mul_(1.5)
        overlapped = sampler.rollout(1)
        assert {c.weight_version for g in overlapped.groups for c in g.completions} == {0}
        strict = plain.rollout(1)
        assert answers(overlapped) != answers(strict), "the plain sampler has the weights after it"
        with torch.no_grad():
            for weight in toy_lm.model.parameters():
                weight.div_(1.5)
        plain.notes.pop()
        assert answers(plain.rollout(1)) == answers(overlapped)


def test_what_vllm_cannot_do_is_refused_before_it_is_asked(make):
    keeping = Objective(preset="v3.2", importance="truncate")
    with pytest.raises(UserError, match="routing can be kept"):
        make(engine="vllm", objective=keeping)
    with pytest.raises(UserError, match="must be running before the run") as raised:
        make(engine="vllm", engine_url="http://127.0.0.1:9")
    assert "afterbase serve-rollouts" in raised.value.remedy


def test_routing_is_recorded_where_the_objective_keeps_it(make):
    with make(objective=Objective(preset="v3.2")) as keeping, make() as plain:
        kept, other = keeping.rollout(0).groups[0], plain.rollout(0).groups[0]
    for completion in kept.completions:
        assert completion.routed_experts is not None
        assert len(completion.routed_experts) == len(kept.prompt_ids) + len(completion.token_ids) - 1
    assert other.completions[0].routed_experts is None
