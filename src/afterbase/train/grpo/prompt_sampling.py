"""Which prompts a rollout is of: a seeded shuffle an epoch, or a draw that prefers what is neither easy nor hopeless.

The state is one integer, and of the draw the solve rates seen so far; both stand in the stage's notes.
"""

import random
from collections.abc import Mapping, Sequence

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.core.tokens import prompt_ids
from afterbase.model.families import attention_chunk, context_length
from afterbase.model.load import LanguageModel
from afterbase.model.probe import refuse_other_lengths

_FLOOR = 0.1  # of a weight: what was solved always, or never, comes back now and then


def draw_prompts(
    problems: Sequence[Problem], cursor: int, count: int, seed: int, *, solve_rates: Mapping[str, float] | None
) -> list[Problem]:
    """`count` problems from position `cursor` on, weighted by their difficulty where solve rates are given."""
    if solve_rates is None:
        return shuffled(problems, cursor, count, seed)
    return difficulty_weighted(problems, cursor, count, seed, solve_rates)


def shuffled(problems: Sequence[Problem], cursor: int, count: int, seed: int) -> list[Problem]:
    """`count` problems from position `cursor` on, of all problems in a new order each epoch."""
    order: list[int] = []
    out = []
    for position in range(cursor, cursor + count):
        epoch, at = divmod(position, len(problems))
        if at == 0 or not order:
            order = list(range(len(problems)))
            random.Random(f"{seed}/{epoch}").shuffle(order)
        out.append(problems[order[at]])
    return out


def difficulty_weighted(
    problems: Sequence[Problem], cursor: int, count: int, seed: int, solve_rates: Mapping[str, float]
) -> list[Problem]:
    """`count` problems, distinct while there are enough, drawn with weight 0.1 + 4 p (1 - p).

    p is the solve rate at the problem's last appearance, 1/2 before its first. Efraimidis and Spirakis, "Weighted
    random sampling with a reservoir", 2006: the largest u^(1/w) win.
    """
    rng = random.Random(f"{seed}/{cursor}")
    rates = [solve_rates.get(problem.id, 0.5) for problem in problems]
    keys = [rng.random() ** (1 / (_FLOOR + 4 * p * (1 - p))) for p in rates]
    best = sorted(range(len(problems)), key=lambda i: -keys[i])
    return [problems[best[i % len(best)]] for i in range(count)]


def fitting(
    lm: LanguageModel, problems: Sequence[Problem], *, max_new_tokens: int
) -> tuple[list[Problem], dict[str, object]]:
    """The problems whose prompt fits with its answer in the model's context and chunk, and which were left out.

    Raises UserError where none fits.
    """
    context = int(min(context_length(lm.model.config), attention_chunk(lm.model.config)))
    kept, lengths, dropped = [], [], []
    for problem in problems:
        tokens = len(prompt_ids(lm.tokenizer, problem.messages))
        if tokens + max_new_tokens > context:
            dropped.append({"id": problem.id, "reason": "too long", "tokens": tokens})
        else:
            kept.append(problem)
            lengths.append(tokens)
    if not kept:
        raise UserError(
            "a prompt and its answer fit in the model's context",
            got=f"none of {len(problems)} prompts: context or chunk of {context}, max_new_tokens {max_new_tokens}",
            remedy="lower max_new_tokens, or take shorter problems",
        )
    refuse_other_lengths(lm, max(lengths) + max_new_tokens, min(lengths))
    return kept, {"problems": len(kept), "too_long": len(dropped), "dropped": dropped}
