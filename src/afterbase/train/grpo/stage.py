"""GRPO on the dual-track reward (V3 report sections 5.1 and 5.2): sample groups, judge, compare within the group.

Kept: groups instead of a critic, high-temperature sampling, no system prompt at RL time, rules where a rule decides
and a model where not, KL to a reference. What is optimised is one of several published objectives, as the report
prints the equation and no settings; see `objective.py`. Ours: a price on length (see `reward.rules`), and by default
one update a rollout, strictly on-policy.

Notation: P prompts a step, G samples a prompt, S answers, N tokens of answers.
"""

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from afterbase.core.config import what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, read_problems
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.core.tokens import user_prompt_ids
from afterbase.data.domains import style_of
from afterbase.model.families import attention_window, context_length
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.probe import refuse_other_lengths
from afterbase.reward.build_judge import JudgeConfig, load_rewarder
from afterbase.reward.compose import compose
from afterbase.reward.route import AnswerModel, Reward, refuse_unowned, rewards
from afterbase.reward.rules import overlong_penalty
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.groups import Judge
from afterbase.train.grpo.reward_hacking import parted
from afterbase.train.grpo.rollout_order import Sampler
from afterbase.train.grpo.update import Experience, accumulate, experience
from afterbase.train.loop import TrainingLoop, prepare

VERSION = 14


def train_grpo(
    store: Store,
    name: str,
    model: Artifact,
    problems: Sequence[Artifact],
    config: Grpo,
    *,
    seed: int,
    reward_model: Artifact | None = None,
    judge: JudgeConfig | None = None,
) -> Artifact:
    """A model folder, trained on the problems' training splits; samples.jsonl keeps a few answers of each step.

    Prompts that do not fit with their answer are left out; data.json says which.

    `judge` says how `reward_model` is asked; None for a scalar one.
    """
    inputs = {"model": model, **{f"problems_{i}": p for i, p in enumerate(problems)}}
    if reward_model is not None:
        inputs["reward_model"] = reward_model
    answers = config.steps * config.prompts * config.samples
    tokens = answers * config.max_new_tokens
    return store.produce(
        name,
        "grpo",
        VERSION,
        what={**what(config), "seed": seed},
        inputs=inputs,
        make=lambda work: _train(work, model, problems, config, seed, reward_model, judge),
        cost=Cost(trained=config.epochs * tokens, generated=tokens, verified=answers),
    )


def _train(
    work: Workspace,
    model: Artifact,
    problem_artifacts: Sequence[Artifact],
    config: Grpo,
    seed: int,
    reward_artifact: Artifact | None,
    asked: JudgeConfig | None,
) -> None:
    lm = load(model.payload)
    problems = [p for a in problem_artifacts for p in read_problems(a.payload / "train.parquet")]
    refuse_unowned(problems, model=reward_artifact is not None)
    problems, report = fitting(lm, problems, config)
    (work.payload / "data.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    reference = load(model.payload) if config.objective.beta > 0 else None
    judge = _judge(config, load_rewarder(reward_artifact, asked, seed=seed) if reward_artifact else None)
    modules = lm.modules()
    if reference is not None and config.reference_every is not None:
        modules["reference"] = reference.model
    sampler = Sampler(lm, problems, judge, config, seed=seed)
    if sampler.behind is not None:
        modules["behind"] = sampler.behind  # what sampled the rollout that is under way, to sample it again
    forward = prepare(lm.model, modules, config, cpu=True)  # where the engine is
    known: Experience | None = None

    def export(folder: Path, state: Mapping[str, Tensor]) -> None:
        save(lm, folder, state=state)

    training = config.model_copy(update={"checkpoint_every": config.checkpoint_every * config.updates})
    # Of the modules the model alone: the MTP module is a draft, and RL leaves it alone.
    loop = TrainingLoop(work, training, modules, lm.model, config.steps * config.updates, export=export)
    with sampler, loop:
        sampler.notes = loop.notes
        for step in loop:
            index, update = divmod(step, config.updates)
            if update == 0:
                rollout = sampler.rollout(index)
                if config.overlap and index + 1 < config.steps:
                    sampler.start(index + 1)
                known = experience(lm, reference, rollout.groups, config, forward)
            assert known is not None
            started = time.monotonic()
            part = minibatch(config, index, update, seed)
            measured = accumulate(lm, [known.groups[g] for g in part], config, forward)
            numbers = {
                **sampler.numbers,
                **known.numbers,
                **measured,
                "seconds/train": round(time.monotonic() - started, 2),
                "tokens": sum(len(a.completion.token_ids) for g in part for a in known.groups[g] if a is not None),
            }
            loop.update(numbers, sampler.latest)
            every = config.reference_every
            if reference is not None and every is not None and (step + 1) % (every * config.updates) == 0:
                reference.model.load_state_dict(lm.model.state_dict())
            if (reason := hacked(sampler.notes, config.hacking_window)) is not None:
                loop.stop(reason)
    save(lm, work.payload)
    lines = [json.dumps(note, ensure_ascii=False) + "\n" for note in sampler.notes]
    (work.payload / "samples.jsonl").write_text("".join(lines))


def hacked(notes: Sequence[dict[str, Any]], window: int) -> str | None:
    """Why no step should follow: see `reward_hacking.py`."""
    watched = [note for note in notes if "proxy" in note]
    if window == 0:
        return None
    return parted([n["proxy"] for n in watched], [n["held_out"] for n in watched], window=window)


def minibatch(config: Grpo, index: int, update: int, seed: int) -> list[int]:
    """Which groups of rollout `index` its `update`-th update learns from: each once an epoch, in a seeded order."""
    epoch, part = divmod(update, config.minibatches)
    order = list(range(config.prompts))
    if config.minibatches > 1:
        random.Random(f"{seed}/{index}/{epoch}").shuffle(order)
    size = config.prompts // config.minibatches
    return sorted(order[part * size : (part + 1) * size])


def _judge(config: Grpo, model: AnswerModel | None) -> Judge:
    budget, share = config.max_new_tokens, config.objective.overlong_buffer

    def judge(answers: Sequence[tuple[Problem, str]], tokens: Sequence[int]) -> list[Reward]:
        judged = rewards(answers, tokens=tokens, budget=budget, length_weight=config.length_weight, model=model)
        if config.rewards is not None:
            judged = compose(judged, answers, tokens=tokens, budget=budget, config=config.rewards, style=style_of)
        if share == 0.0:
            return judged
        costs = [overlong_penalty(n, budget=budget, buffer=share * budget) for n in tokens]
        return [
            replace(r, value=None if r.value is None else r.value + cost) for r, cost in zip(judged, costs, strict=True)
        ]

    return judge


def fitting(lm: LanguageModel, problems: Sequence[Problem], config: Grpo) -> tuple[list[Problem], dict[str, object]]:
    """The problems whose prompt fits with its answer in the model's context and window, and which were left out.

    Raises UserError where none fits.
    """
    context = int(min(context_length(lm.model.config), attention_window(lm.model.config)))
    kept, lengths, dropped = [], [], []
    for problem in problems:
        tokens = len(user_prompt_ids(lm.tokenizer, problem.prompt))
        if tokens + config.max_new_tokens > context:
            dropped.append({"id": problem.id, "reason": "too long", "tokens": tokens})
        else:
            kept.append(problem)
            lengths.append(tokens)
    if not kept:
        raise UserError(
            "a prompt and its answer fit in the model's context",
            got=f"none of {len(problems)} prompts: context or window of {context}, max_new_tokens "
            f"{config.max_new_tokens}",
            remedy="lower max_new_tokens, or take shorter problems",
        )
    refuse_other_lengths(lm, max(lengths) + config.max_new_tokens, min(lengths))
    return kept, {"problems": len(kept), "too_long": len(dropped), "dropped": dropped}
