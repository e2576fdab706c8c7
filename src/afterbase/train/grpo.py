"""GRPO on the dual-track reward (V3 report sections 5.1 and 5.2): sample groups, judge, compare within the group.

Kept: groups instead of a critic, high-temperature sampling, no system prompt at RL time, rules where a rule decides
and a model where not, KL to a frozen reference, and no 1/|o_i|: as in the report's equation 26, every token of an
answer weighs the same, so that a long chain is not outvoted by a short guess. Ours, as the report prints no settings:
one update per rollout (strictly on-policy, where equation 26 and the per-token form have the same gradient), the sum
over tokens divided by the constant `max_new_tokens`, and a price on length (see `reward.rules`).

Notation: P prompts a step, G samples a prompt, N completion tokens of a row.
"""

import functools
import json
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from afterbase.core.config import How, what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, read_problems
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.core.tokens import Tokenized, user_prompt_ids
from afterbase.data.pack import pack
from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.parallel import Forward, direct
from afterbase.reward.route import Reward, failed_share, rewards
from afterbase.reward.scalar import load_reward_model
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.local import LocalEngine
from afterbase.rollout.producer import text_of
from afterbase.train.loop import Training, prepare, train
from afterbase.train.losses.grpo import group_advantages, grpo_loss
from afterbase.train.losses.tokens import token_logps
from afterbase.train.optimise import gather_trained

VERSION = 4
_MOST_FAILED = 0.2  # above this share of verifier faults the numbers mean nothing
_MOST_MISMATCH = 0.05  # nats a token between engine and trainer: rounding is below 1e-4, another policy well above


class Grpo(Training):
    """One run of group relative policy optimisation."""

    steps: int = Field(ge=1)
    prompts: int = Field(ge=1)
    """P: prompts of a step."""
    samples: int = Field(ge=2)
    """G: samples of a prompt; a group of one has no baseline."""
    temperature: float = Field(gt=0)
    """The policy is softmax(logits / temperature), in rollout and training alike."""
    max_new_tokens: int = Field(ge=1)
    length_weight: float = Field(ge=0, lt=1)
    """Share of a right answer's reward that using the whole budget costs."""
    clip: float = Field(default=0.2, gt=0)
    beta: float = Field(default=0.0, ge=0)
    """Weight of the KL to the stage's starting model."""
    row_tokens: int = Field(default=4096, ge=64)
    checkpoint_every: How[int] = Field(default=5, ge=1)


def train_grpo(
    store: Store,
    name: str,
    model: Artifact,
    problems: Sequence[Artifact],
    config: Grpo,
    *,
    seed: int,
    reward_model: Artifact | None = None,
) -> Artifact:
    """A model folder, trained on the problems' training splits; samples.jsonl keeps a few answers of each step."""
    inputs = {"model": model, **{f"problems_{i}": p for i, p in enumerate(problems)}}
    if reward_model is not None:
        inputs["reward_model"] = reward_model
    answers = config.steps * config.prompts * config.samples
    return store.produce(
        name,
        "grpo",
        VERSION,
        what={**what(config), "seed": seed},
        inputs=inputs,
        make=lambda work: _train(work, model, problems, config, seed, reward_model),
        cost=Cost(trained=answers * config.max_new_tokens, generated=answers * config.max_new_tokens, verified=answers),
    )


def _train(
    work: Workspace,
    model: Artifact,
    problem_artifacts: Sequence[Artifact],
    config: Grpo,
    seed: int,
    reward_artifact: Artifact | None,
) -> None:
    lm = load(model.payload)
    reference = load(model.payload) if config.beta > 0 else None
    judge = load_reward_model(reward_artifact.payload) if reward_artifact else None
    problems = [p for a in problem_artifacts for p in read_problems(a.payload / "train.parquet")]
    modules = lm.modules()
    forward = prepare(lm.model, modules, config, cpu=True)  # where the engine is
    engine, stop = LocalEngine(lm.model), lm.tokenizer.eos_token_id
    assert isinstance(stop, int)
    examples: list[dict[str, object]] = []
    latest: list[dict[str, object]] = []  # the answers of the step that is being made

    def compute(step: int) -> dict[str, float]:
        started = time.monotonic()
        batch = _prompts(problems, step, config.prompts, seed)
        prompt_ids = [user_prompt_ids(lm.tokenizer, p.prompt) for p in batch]
        sampling = Sampling(
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            stop_token_ids=(stop,),
            seed=seed * 1_000_003 + step,
        )
        engine.sync(step)
        groups = engine.generate(prompt_ids, samples=config.samples, sampling=sampling)
        rolled = time.monotonic()
        texts = [[text_of(lm, c) for c in group] for group in groups]
        flat = [c for group in groups for c in group]
        latest[:] = [{"prompt": p.prompt, "answers": t} for p, t in zip(batch, texts, strict=True)]
        judged = rewards(
            [(p, t) for p, group in zip(batch, texts, strict=True) for t in group],
            tokens=[len(c.token_ids) for c in flat],
            budget=config.max_new_tokens,
            length_weight=config.length_weight,
            model=judge,
        )
        if failed_share(judged) > _MOST_FAILED:
            raise UserError(
                f"at most {_MOST_FAILED:.0%} of a step's answers may fail to be verified",
                got=f"{failed_share(judged):.0%} at step {step + 1}: {_reasons(judged)}",
                remedy="mend the verifier (`afterbase verify` shows its reasons); the run resumes where it stopped",
            )
        verified = time.monotonic()
        values = torch.tensor([math.nan if r.value is None else r.value for r in judged])
        values = values.view(len(batch), config.samples)
        valid = ~values.isnan()
        advantages = group_advantages(values.nan_to_num(0.0), valid)
        measured = _step(lm, reference, prompt_ids, groups, advantages, valid, config, forward)
        examples.append(_example(step, batch[0], texts[0], judged[: config.samples]))
        return {
            **_reward_numbers(values, advantages, judged, flat),
            **measured,
            "seconds_rollout": round(rolled - started, 2),
            "seconds_verify": round(verified - rolled, 2),
            "seconds_train": round(time.monotonic() - verified, 2),
            "tokens": sum(len(c.token_ids) for c in flat),
        }

    train(
        work,
        config,
        modules,
        lm.model,  # the MTP module is a draft: RL leaves it alone
        config.steps,
        compute,
        batch=lambda _step: latest,
        export=lambda folder, state: save(lm, folder, state=state),
        notes=examples,
    )
    save(lm, work.payload)
    (work.payload / "samples.jsonl").write_text("".join(json.dumps(e, ensure_ascii=False) + "\n" for e in examples))


def _prompts(problems: Sequence[Problem], step: int, count: int, seed: int) -> list[Problem]:
    """The prompts of one step: a seeded shuffle of all problems an epoch; the step number is the only cursor."""
    order: list[int] = []
    out = []
    for position in range(step * count, (step + 1) * count):
        epoch, at = divmod(position, len(problems))
        if at == 0 or not order:
            order = list(range(len(problems)))
            random.Random(f"{seed}/{epoch}").shuffle(order)
        out.append(problems[order[at]])
    return out


def _step(
    lm: LanguageModel,
    reference: LanguageModel | None,
    prompt_ids: Sequence[Sequence[int]],
    groups: Sequence[Sequence[Completion]],
    advantages: Tensor,
    valid: Tensor,
    config: Grpo,
    forward: Forward = direct,
) -> dict[str, float]:
    """Accumulate the gradient of one step over packed rows; returns what was measured on the way.

    Completions whose verifier failed are left out, of the KL term too; they still count in the normaliser. Raises
    UserError where the engine's log-probabilities are not the trainer's.
    """
    sequences, completions, per_sequence = [], [], []
    judged = zip(prompt_ids, groups, advantages.tolist(), valid.tolist(), strict=True)
    for prompt, group, group_advantages_, group_valid in judged:
        for completion, advantage, counts in zip(group, group_advantages_, group_valid, strict=True):
            if not counts or (advantage == 0.0 and reference is None):
                continue  # no gradient flows from it: leave it out of the forward pass
            trained = [False] * len(prompt) + [True] * len(completion.token_ids)
            sequences.append(Tokenized([*prompt, *completion.token_ids], trained))
            completions.append(completion)
            per_sequence.append(advantage)
    if not sequences:
        return {}
    # All completions of the step, those without gradient too, at the constant length that the budget allows.
    weight = 1 / (advantages.numel() * config.max_new_tokens)
    mismatch, kl = [], []
    for row in pack(sequences, max([config.row_tokens, *(len(s.ids) for s in sequences)]), seed=0):
        members = [completions[i] for i in row.members]
        sizes = torch.tensor([len(c.token_ids) for c in members])
        old_logps = torch.tensor([logp for c in members for logp in c.logps])
        advantages_N = torch.tensor([per_sequence[i] for i in row.members]).repeat_interleave(sizes)
        weights_N = torch.full_like(old_logps, weight)
        ids, trained, segments = torch.tensor(row.ids), torch.tensor(row.trained), Segments.of(row.lengths)
        row_logps = functools.partial(
            _logps, ids=ids, trained=trained, segments=segments, temperature=config.temperature
        )
        logps = forward(functools.partial(row_logps, lm))
        reference_logps = None
        if reference is not None:
            with torch.no_grad():
                reference_logps = forward(functools.partial(row_logps, reference))
            kl.append(logps.detach() - reference_logps)
        loss = grpo_loss(
            logps, logps.detach(), reference_logps, advantages_N, weights_N, clip=config.clip, beta=config.beta
        )
        loss.backward()
        mismatch.append((logps.detach() - old_logps).abs())
    mismatch_N = torch.cat(mismatch)
    if mismatch_N.mean() > _MOST_MISMATCH:
        raise UserError(
            "the engine that samples and the model that is trained must be one policy",
            got=f"log-probabilities that differ by {mismatch_N.mean():.3f} nats a token on average",
            remedy="check that the engine has the newest weights and this stage's temperature",
        )
    numbers = {"mismatch_max": round(float(mismatch_N.max()), 6)}
    if reference is not None:
        numbers["kl"] = round(float(torch.cat(kl).mean()), 5)
    return numbers


def _logps(lm: LanguageModel, ids: Tensor, trained: Tensor, segments: Segments, temperature: float) -> Tensor:
    states, targets = gather_trained(lm.hidden(ids, segments), ids, trained)
    return token_logps(states, lm.head, targets, temperature=temperature)


def _reward_numbers(
    values: Tensor, advantages: Tensor, judged: Sequence[Reward], flat: Sequence[Completion]
) -> dict[str, float]:
    lengths = [len(c.token_ids) for c in flat]
    ruled = [(r.verdict.status, n) for r, n in zip(judged, lengths, strict=True) if r.verdict is not None]
    right = [n for status, n in ruled if status is Status.OK]
    wrong = [n for status, n in ruled if status is Status.WRONG]
    decided = len(right) + len(wrong)
    return {
        "reward": round(float(values.nanmean()), 4),
        "solved": round(len(right) / decided, 4) if decided else math.nan,
        "length": round(statistics.fmean(lengths), 1),
        "length_right": round(statistics.fmean(right), 1) if right else math.nan,
        "length_wrong": round(statistics.fmean(wrong), 1) if wrong else math.nan,
        "truncated": round(sum(c.finish is FinishReason.LENGTH for c in flat) / len(flat), 4),
        "equal_groups": round(float((advantages == 0).all(1).float().mean()), 4),
        "verifier_failed": round(failed_share(judged), 4),
    }


def _reasons(judged: Sequence[Reward]) -> str:
    failed = [r.verdict.reason for r in judged if r.verdict is not None and r.verdict.status is Status.FAILED]
    return ", ".join(f"{reason} {count} times" for reason, count in Counter(failed).most_common(3))


def _example(step: int, problem: Problem, texts: Sequence[str], judged: Sequence[Reward]) -> dict[str, object]:
    return {
        "step": step + 1,
        "domain": problem.domain,
        "prompt": problem.prompt,
        "answers": [{"text": t, "reward": r.value} for t, r in zip(texts[:2], judged[:2], strict=True)],
    }
