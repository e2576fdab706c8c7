"""Section 5.2 for domains that no rule decides: pairs, the reward model or the judge, its examination, DPO and KTO."""

from collections.abc import Iterator

from afterbase.core.store import Artifact
from afterbase.data.generate.draft_pairs import Split, make_draft_pairs
from afterbase.data.generate.judgements import make_judgements
from afterbase.data.generate.pair_sets import join_pairs, make_review_pairs
from afterbase.data.generate.preferences import make_preferences
from afterbase.data.own.own_rows import OwnRows
from afterbase.data.own.own_sets import make_pairs
from afterbase.eval.reward_model_exam import examine_reward
from afterbase.eval.score_answers import score_answers
from afterbase.recipe import Recipe
from afterbase.reward.build_judge import JudgeConfig, make_judge
from afterbase.run_seed import Outcome, R, Seed
from afterbase.train.preference.dpo import train_dpo
from afterbase.train.preference.generative_reward_model import train_generative_reward_model
from afterbase.train.preference.kto import train_kto
from afterbase.train.preference.preference_pairs import make_reference_logps
from afterbase.train.preference.reward_model import train_reward_model

Judged = Artifact | tuple[Artifact, JudgeConfig] | None
"""A reward model, a judge with how it is asked, or neither."""


def learn_preferences(
    run: Seed[Recipe], out: Outcome, sft: Artifact, problems: dict[str, Artifact], reviewed: dict[str, Artifact]
) -> Judged:
    """5.2: one reward model, or judge, of all open domains, checked; DPO and KTO beside it."""
    store, recipe, seed = run.store, run.recipe, run.seed
    if not recipe.open_domains and recipe.preferences.path is None:
        return None
    scalar = recipe.reward_model if recipe.by_model else None
    reward, asked = None, None
    if scalar is not None or recipe.dpo is not None or recipe.kto is not None:
        pairs = preference_pairs(run, sft, problems, reviewed)
        if scalar is not None:
            reward = train_reward_model(store, "reward model", sft, pairs, scalar, seed=seed)
            out.reward_model = reward
            out.curves.append(reward)
        for checkpoint, model in _on_preferences(run, sft, pairs):
            evaluate_all(run, out, checkpoint, model, problems)
            out.curves.append(model)
    shipped = [name for name in recipe.by_model if name not in recipe.open]
    if recipe.judge is not None and recipe.by_model:
        reward, asked = build_judge(run, sft, problems[(shipped or recipe.by_model)[0]]), recipe.judge.asked
    if reward is None:
        return None
    for domain in shipped:
        out.examinations += check_reward_model(run, reward, asked, sft, problems[domain])
    return reward if asked is None else (reward, asked)


def preference_pairs(
    run: Seed[Recipe], sft: Artifact, problems: dict[str, Artifact], reviewed: dict[str, Artifact]
) -> Artifact:
    """Pairs of all open domains: of sampled answers where a rubric or a function judges them, else of reviewers' work.

    Beside them the user's own.
    """
    store, recipe, seed = run.store, run.recipe, run.seed
    own = recipe.preferences.path
    joined = bool(recipe.open) or own is not None
    sets: dict[str, Artifact] = {}
    for domain in recipe.open_domains:
        if domain in recipe.open and recipe.open[domain].source.own is None:
            sets[domain] = make_review_pairs(store, domain, reviewed[domain])
        else:
            name = f"{domain} preference pairs" if joined else "preference pairs"
            sets[domain] = make_preferences(
                store,
                sft,
                problems[domain],
                reviewed[domain],
                recipe.preferences,
                seed=seed,
                name=name,
                alone=not joined,
            )
    if own is not None:
        sets["own"] = make_pairs(store, "own pairs", OwnRows(files=(own,)), seed=seed)
    return join_pairs(store, sets, problems) if joined else sets.popitem()[1]


def build_judge(run: Seed[R], sft: Artifact, problems: Artifact) -> Artifact:
    """5.2 and 5.4: a model that is trained to judge with its chain of thought; the policy itself; or a server."""
    store, judge, seed = run.store, run.recipe.judge, run.seed
    assert judge is not None
    if judge.training is None:
        return make_judge(store, "judge", judge.asked, sft if judge.kind == "self" else None)
    judgements = make_judgements(store, draft_pairs(run, sft, problems, "train"), problems, judge.judgements, seed=seed)
    return train_generative_reward_model(store, "judge", sft, judgements, judge.training, judge.asked, seed=seed)


def check_reward_model(
    run: Seed[R], reward: Artifact, asked: JudgeConfig | None, sft: Artifact, problems: Artifact
) -> list[Artifact]:
    """The examination that a reward model has to pass before it may steer; none where the recipe asks for none."""
    limits = run.recipe.examination
    if limits is None:
        return []
    pairs = draft_pairs(run, sft, problems, "test")
    name = "the scalar reward model" if asked is None else "the judge"
    return [examine_reward(run.store, name, reward, asked, pairs, problems, limits, seed=run.seed)]


def draft_pairs(run: Seed[R], sft: Artifact, problems: Artifact, split: Split) -> Artifact:
    """Pairs of training problems, to learn from, or of held-out ones, for the examination."""
    name = "pairs" if split == "train" else "held-out pairs"
    return make_draft_pairs(run.store, name, sft, problems, split, run.recipe.pairs, seed=run.seed)


def _on_preferences(run: Seed[Recipe], sft: Artifact, pairs: Artifact) -> Iterator[tuple[str, Artifact]]:
    """DPO and KTO, where the recipe asks for them: what the pairs teach without a reward model and without sampling."""
    store, recipe, seed = run.store, run.recipe, run.seed
    if recipe.dpo is None and recipe.kto is None:
        return
    reference = make_reference_logps(store, sft, pairs)
    if recipe.dpo is not None:
        yield "DPO", train_dpo(store, "DPO", sft, pairs, reference, recipe.dpo, seed=seed)
    if recipe.kto is not None:
        yield "KTO", train_kto(store, "KTO", sft, pairs, reference, recipe.kto, seed=seed)


def evaluate_all(
    run: Seed[Recipe], out: Outcome, checkpoint: str, model: Artifact, problems: dict[str, Artifact]
) -> None:
    """The checkpoint's answers in every domain; those that a reward model will score are noted."""
    for domain in problems:
        if domain in run.recipe.open and run.recipe.open[domain].by_model:
            out.unscored[len(out.answers)] = domain
        out.answers += run.evaluate(checkpoint, model, {domain: problems[domain]})


def score_open(run: Seed[Recipe], out: Outcome, judged: Judged, problems: dict[str, Artifact]) -> None:
    """Put scores in the place of answers that no rule judges, now that there is a reward model."""
    for place, domain in out.unscored.items():
        assert judged is not None, "such a domain has a reward model or a judge"
        out.answers[place] = score_answers(run.store, out.answers[place], problems[domain], judged, seed=run.seed)
    out.unscored.clear()
