"""GRPO on the dual-track reward (V3 report sections 5.1 and 5.2): sample groups, reward them, compare within the group.

Kept: groups instead of a critic, high-temperature sampling, no system prompt at RL time, rules where a rule decides
and a model where not, KL to a reference. What is optimised is one of several published objectives, as the report
prints the equation and no settings; see `objective.py`. Ours: a price on length (see `reward/rules.py`), and by default
one update a rollout, strictly on-policy.

Notation: P prompts a step, G samples a prompt, S answers, N tokens of answers.
"""

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from afterbase.core.config import what
from afterbase.core.sample import Problem, read_problems
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.core.tokens import prompt_ids
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.parallel import Forward, whole_state
from afterbase.model.stop import stop_token_ids
from afterbase.reward.build_judge import JudgeConfig, load_rewarder
from afterbase.reward.route import refuse_unowned
from afterbase.rollout.engine import Engine, FinishReason, Sampling
from afterbase.rollout.engine_model import text_of
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.groups import Group, Rollout, refuse_without_logps
from afterbase.train.grpo.held_out_problems import held_out_problems, measured_on, score
from afterbase.train.grpo.policy_gradient import accumulate, experience, minibatch
from afterbase.train.grpo.prompt_sampling import draw_prompts, fitting
from afterbase.train.grpo.reward_function import RewardFunction, reward_function
from afterbase.train.grpo.reward_hacking import reward_hacking
from afterbase.train.grpo.rollout_metrics import note_of, refuse_without_signal, rollout_metrics
from afterbase.train.grpo.rollout_worker import RolloutWorker
from afterbase.train.loop import TrainingLoop, growth, prepare, refuse_unmeasurable
from afterbase.train.lora import add_lora, merged, save_adapter
from afterbase.verify.answer_context import AnswerContext

VERSION = 17
_SHOWN = ("reward", "solved", "length", "held_out_accuracy", "held_out_reward", "kl")
_ROUNDS = 3  # of sampling further prompts in place of groups whose rewards are all equal


def train_grpo(
    store: Store,
    name: str,
    model: Artifact,
    problems: Sequence[Artifact],
    config: Grpo,
    *,
    seed: int,
    reward_model: Artifact | tuple[Artifact, JudgeConfig] | None = None,
    held_out: Artifact | None = None,
) -> Artifact:
    """A model folder, trained on the problems' training splits; samples.jsonl keeps a few answers of each step.

    Prompts that do not fit with their answer are left out; data.json says which.

    `reward_model`: a scalar one, or a judge with how it is asked. `held_out`: problems to measure it by; of an artifact
    with test problems those. With `lora` the additions stand beside the merged weights, in `adapter/`.

    >>> optimisation = {"learning_rate": 1e-4}
    >>> config = Grpo(steps=1, prompts=2, samples=2, max_new_tokens=16, probe_groups=0, optimisation=optimisation)
    >>> expert = train_grpo(store, "GRPO", sft, [problems], config, seed=0)
    >>> len(expert.metrics())  # a row for each step
    1
    """
    inputs = {"model": model, **{f"problems_{i}": p for i, p in enumerate(problems)}}
    reward, judge = reward_model if isinstance(reward_model, tuple) else (reward_model, None)
    if reward is not None:
        inputs["reward_model"] = reward
    if held_out is not None:
        inputs["held_out"] = held_out
    answers = config.steps * config.prompts * config.samples
    tokens = answers * config.max_new_tokens
    # With overlap a rollout is under way after every step but a run's last, whose state cannot know of it.
    store = store.growing(None if config.overlap else growth("steps", config, cpu=True))
    return store.produce(
        name,
        "grpo",
        VERSION,
        what={**what(config), "seed": seed},
        inputs=inputs,
        make=lambda work: _train(work, model, (problems, held_out), config, seed, (reward, judge)),
        cost=Cost(trained=config.epochs * tokens, generated=tokens, verified=answers),
    )


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every step needs. `notes` has an entry a rollout and is kept with checkpoints: a resumed run goes on by it.

    What decides about a rollout is the seed, its index, the weights, and the notes on those before it.
    """

    lm: LanguageModel
    reference: LanguageModel | None
    problems: Sequence[Problem]
    held_out: Sequence[Problem]
    reward: RewardFunction
    config: Grpo
    seed: int
    notes: list[dict[str, Any]]


def _train(
    work: Workspace,
    model: Artifact,
    problem_sets: tuple[Sequence[Artifact], Artifact | None],
    config: Grpo,
    seed: int,
    judged_by: tuple[Artifact | None, JudgeConfig | None],
) -> None:
    lm = load(model.payload)
    problems, held_out = _problems(work, lm, problem_sets, config, model=judged_by[0] is not None)
    apart = config.objective.beta > 0 and (config.lora is None or config.reference_every is not None)
    reference = load(model.payload) if apart else lm if config.objective.beta > 0 else None
    rewarder = load_rewarder(judged_by[0], judged_by[1], seed=seed) if judged_by[0] else None
    reward = reward_function(config, rewarder, seed=seed)
    worker = RolloutWorker(lm, config)
    if config.lora is not None:
        add_lora(lm, config.lora, seed=seed)
    modules = lm.modules()
    if reference is not None and config.reference_every is not None:
        modules["reference"] = reference.model
    if (
        config.overlap and worker.rollout_model is not None
    ):  # what sampled the rollout that is under way, to sample it again
        modules["behind"] = worker.rollout_model  # as checkpoints name it
    forward = prepare(lm.model, modules, config, cpu=True)  # where the engine is

    def export(folder: Path, state: Mapping[str, Tensor]) -> None:
        save(lm, folder, state=merged(state, config.lora))

    # Of the modules the model alone: the MTP module is a draft, and RL leaves it alone.
    steps = config.steps * config.updates
    loop = TrainingLoop(work, _in_updates(config), modules, lm.model, steps, export=export, shown=_SHOWN)
    run = Run(
        lm=lm, reference=reference, problems=problems, held_out=held_out, reward=reward, config=config, seed=seed,
        notes=loop.notes,
    )  # fmt: skip
    with worker, loop:
        _learn(run, worker, loop, forward)
    state = whole_state(lm.modules())
    save(lm, work.payload, state=merged(state, config.lora), now=True)
    save_adapter(lm, work.payload, state, config.lora)
    lines = [json.dumps(note, ensure_ascii=False) + "\n" for note in loop.notes]
    (work.payload / "samples.jsonl").write_text("".join(lines))


def _problems(
    work: Workspace,
    lm: LanguageModel,
    problem_sets: tuple[Sequence[Artifact], Artifact | None],
    config: Grpo,
    *,
    model: bool,
) -> tuple[list[Problem], list[Problem]]:
    """Problems to train on and held-out ones, those that fit; data.json says which do not."""
    problems = [p for a in problem_sets[0] for p in read_problems(a.payload / "train.parquet")]
    held_out = [] if problem_sets[1] is None else held_out_problems(problem_sets[1])
    refuse_unmeasurable(config, held_out)
    composed = config.rewards is not None and config.rewards.beside_verdict
    refuse_unowned([*problems, *held_out], model=model, rules=composed)
    problems, report = fitting(lm, problems, max_new_tokens=config.max_new_tokens)
    if held_out:
        held_out, report["held_out"] = fitting(lm, held_out, max_new_tokens=config.max_new_tokens)
    (work.payload / "data.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    return problems, held_out


def _in_updates(config: Grpo) -> Grpo:
    """The settings as the loop reads them: it counts updates, of which a rollout has one or more."""
    every = None if config.eval_every is None else config.eval_every * config.updates
    return config.model_copy(update={"checkpoint_every": config.checkpoint_every * config.updates, "eval_every": every})


def _learn(run: Run, worker: RolloutWorker, loop: TrainingLoop, forward: Forward) -> None:
    """Every step of the algorithm: sample from pi_old, compare within groups, then `updates` updates of pi_theta."""
    config, lm, reference = run.config, run.lm, run.reference
    sample = partial(roll_out, run)
    for index, updates in itertools.groupby(loop, lambda update: update // config.updates):
        rollout = worker.take(index, sample)  # sync of the weights, pi_old; then `roll_out`, below
        metrics = rollout_metrics(rollout.sampled)
        probed = probe(run, worker.engine, rollout) if index == 0 and config.probe_groups else None
        run.notes.append(note_of(index, rollout, metrics, probed))
        if config.overlap and index + 1 < config.steps:
            worker.begin(index + 1, sample)  # one step off-policy: with the weights before these updates
        known = experience(lm, reference, rollout.groups, config, forward)  # A, log pi_old, log pi_ref
        metrics |= known.numbers | {f"seconds/{phase}": round(spent, 2) for phase, spent in rollout.seconds.items()}
        texts = [{"prompt": g.problem.prompt, "answers": g.texts} for g in rollout.groups]
        del rollout  # passed-over answers have masks and routing too, which are large
        for update in updates:
            started = time.monotonic()
            answers = [known.groups[g] for g in minibatch(config, index, update % config.updates, run.seed)]
            measured = accumulate(lm, answers, config, forward)  # log pi_theta, loss, gradients
            measured["seconds/train"] = round(time.monotonic() - started, 2)
            tokens = sum(len(a.completion.token_ids) for group in answers for a in group if a is not None)
            loop.update({**metrics, **measured, "tokens": tokens}, texts)
            if reference is not None and config.replaces_reference(update):
                reference.model.load_state_dict(merged(lm.model.state_dict(), config.lora))
            watched = [note for note in run.notes if "proxy" in note]
            proxy, held_out = [n["proxy"] for n in watched], [n["held_out"] for n in watched]
            if (reason := reward_hacking(proxy, held_out, window=config.hacking_window)) is not None:
                loop.stop(reason)
            if loop.evaluates:
                engine = worker.present(index + 1)
                numbers = measured_on(sample_groups(run, engine, run.held_out, index, measuring=True)[0])
                loop.score(score(numbers), **numbers)


def roll_out(run: Run, engine: Engine, index: int) -> Rollout:
    """Draw prompts, sample G answers to each, reward them.

    Dynamic sampling (DAPO, arXiv 2503.14476, equation 11) goes on until P groups have a signal, for three rounds at
    most; what is missing then is made up of groups without gradient.
    """
    dynamic, prompts = run.config.objective.dynamic_sampling, run.config.prompts
    cursor = run.notes[-1]["cursor"] if run.notes else 0
    sampled: list[Group] = []
    seconds: dict[str, float] = defaultdict(float)
    for _ in range(_ROUNDS if dynamic else 1):
        missing = prompts - sum(g.has_signal for g in sampled)
        if missing == 0:
            break
        groups, took = sample_groups(run, engine, _draw(run, cursor, missing), index)
        cursor += missing
        sampled += groups
        for phase, spent in took.items():
            seconds[phase] += spent
    best = sorted(sampled, key=lambda g: not g.has_signal) if dynamic else sampled
    return Rollout(groups=best[:prompts], sampled=sampled, cursor=cursor, seconds=dict(seconds))


def _draw(run: Run, cursor: int, count: int) -> list[Problem]:
    rates = {problem: rate for note in run.notes for problem, rate in note["solve_rates"].items()}
    return draw_prompts(
        run.problems, cursor, count, run.seed, solve_rates=rates if run.config.difficulty_weighted else None
    )


def sample_groups(
    run: Run, engine: Engine, problems: Sequence[Problem], index: int, *, measuring: bool = False
) -> tuple[list[Group], dict[str, float]]:
    """A group of rewarded answers for each problem, and how long sampling and verifying took.

    G of them, or, to measure the policy, `eval_samples`, of which a single one is greedy.
    """
    config, lm = run.config, run.lm
    samples = config.eval_samples if measuring else config.samples
    sampling = Sampling(
        temperature=0.0 if measuring and samples == 1 else config.temperature,
        max_new_tokens=config.max_new_tokens,
        stop_token_ids=stop_token_ids(lm),
        seed=run.seed * 1_000_003 + index,
        top_p=config.top_p,
    )
    started = time.monotonic()
    prompts = [prompt_ids(lm.tokenizer, p.messages) for p in problems]
    completions = engine.generate(prompts, samples=samples, sampling=sampling)
    refuse_without_logps(completions)
    sampled = time.monotonic()
    texts = [[text_of(lm, c) for c in group] for group in completions]
    answers = [(p, text) for p, group in zip(problems, texts, strict=True) for text in group]
    contexts = [
        AnswerContext(tokens=len(c.token_ids), truncated=c.finish is FinishReason.LENGTH, step=index + 1)
        for group in completions
        for c in group
    ]
    rewards = iter(run.reward(answers, contexts))
    groups = [
        Group(problem=p, prompt_ids=ids, completions=c, texts=t, rewards=list(itertools.islice(rewards, len(c))))
        for p, ids, c, t in zip(problems, prompts, completions, texts, strict=True)
    ]
    return groups, {"rollout": sampled - started, "verify": time.monotonic() - sampled}


def probe(run: Run, engine: Engine, rollout: Rollout) -> dict[str, float]:
    """What the first model's groups say, so many that something could be learnt; UserError where nothing could."""
    groups = rollout.sampled
    missing = run.config.probe_groups - len(groups)
    if missing > 0:
        groups = groups + sample_groups(run, engine, _draw(run, rollout.cursor, missing), 0)[0]
    return refuse_without_signal(groups, max_new_tokens=run.config.max_new_tokens)
