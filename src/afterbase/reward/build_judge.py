"""A judge as an artifact: settings and principles, and the checkpoint whose judgements they are, if there is one."""

import json
import os
import shutil

from afterbase.core.config import what
from afterbase.core.store import Artifact, Store, Workspace, write_atomically
from afterbase.model.families import context_length
from afterbase.model.load import load
from afterbase.reward.config import JudgeConfig
from afterbase.reward.generative import GenerativeReward
from afterbase.reward.scalar import RewardModel, load_reward_model
from afterbase.rollout.chat_model import ChatModel
from afterbase.rollout.endpoint.budget import Budget
from afterbase.rollout.endpoint.endpoint_client import Endpoint
from afterbase.rollout.engine_model import EngineModel

VERSION = 1
_FILE = "judge.json"


def make_judge(store: Store, name: str, config: JudgeConfig, model: Artifact | None) -> Artifact:
    """judge.json with the settings and the principles, beside the files of `model` where there is one.

    Raises UserError for principles that cannot be read, before anything is made.
    """
    assert (model is None) == (config.endpoint is not None), "a judge is a model or an endpoint"
    principles = config.read_principles()
    settings = {**what(config), "principles": principles}

    def make(work: Workspace) -> None:
        if model is not None:  # artifacts never change, so the files are shared where the disk can
            shutil.copytree(model.payload, work.payload, copy_function=_link, dirs_exist_ok=True)
        write_atomically(work.payload / _FILE, (json.dumps(settings, indent=2, sort_keys=True) + "\n").encode())

    inputs = {"model": model} if model is not None else {}
    return store.produce(name, "judge", VERSION, what=settings, inputs=inputs, make=make)


def load_judge(judge: Artifact, config: JudgeConfig, *, seed: int) -> GenerativeReward:
    """The judge that `make_judge` made. An endpoint's answers are kept beside the store's artifacts.

    Raises UserError where the endpoint's token is not set.
    """
    settings = json.loads((judge.payload / _FILE).read_text())
    model: ChatModel
    if config.endpoint is None:
        lm = load(judge.payload)
        model = EngineModel(lm, name=judge.key, context=context_length(lm.model.config))
    else:
        cache = judge.folder.parent / ".requests" / f"{judge.key}.sqlite"
        model = Endpoint(config.endpoint, cache=cache, budget=Budget(config.budget))
    return GenerativeReward(
        model, settings["principles"], config.votes, seed, config.temperature, config.max_new_tokens
    )


def judge_at_endpoint(config: JudgeConfig, *, seed: int) -> GenerativeReward:
    """A judge of no recipe, whose answers are kept for this process alone; UserError where its token is not set."""
    assert config.endpoint is not None
    model = Endpoint(config.endpoint, budget=Budget(config.budget))
    return GenerativeReward(
        model, config.read_principles(), config.votes, seed, config.temperature, config.max_new_tokens
    )


def load_rewarder(reward: Artifact, judge: JudgeConfig | None, *, seed: int) -> RewardModel | GenerativeReward:
    """A reward model of any kind: a scalar one's artifact where there is no `judge`, one of `make_judge` otherwise."""
    return load_reward_model(reward.payload) if judge is None else load_judge(reward, judge, seed=seed)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
