"""The whole recipe as one program: sections 5.1 to 5.3 of the DeepSeek-V3 report, top to bottom.

Stages are functions from artifacts to one artifact; nothing here reads what is in them, so the same program, run on a
store that only plans, draws the graph.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from afterbase.core.store import Artifact, Store
from afterbase.data.clean.deliver import clean_sets
from afterbase.data.corpus import make_corpus, make_worked_corpus
from afterbase.data.generate.open_domains import review_open, reviewed_rows
from afterbase.data.generate.rejection_sampling import curate
from afterbase.data.mixture import Mixture, mix
from afterbase.data.problems.problems import train_count
from afterbase.data.problems.source_rows import Source
from afterbase.data.problems.sources import most_train
from afterbase.eval.base_model_card import measure_base
from afterbase.eval.summarise import Pair
from afterbase.recipe import BaseRecipe, Recipe, RlRecipe
from afterbase.reward.build_judge import JudgeConfig
from afterbase.run_preferences import (
    build_judge,
    check_reward_model,
    draft_pairs,
    evaluate_all,
    learn_preferences,
    score_open,
)
from afterbase.run_seed import OpenDrafts, Outcome, Seed
from afterbase.train.grpo.stage import train_grpo
from afterbase.train.preference.reward_model import train_reward_model
from afterbase.train.pretrain import make_tokenizer, midtrain, pretrain
from afterbase.train.sft import train_sft

_SAMPLE_TOKENS = 150  # of a prompt and its answer, for plans


@dataclass(frozen=True)
class Expert:
    """The expert of one reasoning domain: what it was drafted from, its two checkpoints, and the data that it wrote."""

    drafts: Artifact
    started: Artifact
    final: Artifact
    curated: Artifact
    answers: list[Artifact]


def train_expert(run: Seed[Recipe], domain: str, base: Artifact, problems: Artifact) -> Expert:
    """5.1, reasoning: SFT on both sample kinds, GRPO without the system prompt, rejection sampling."""
    store, recipe, seed = run.store, run.recipe, run.seed
    drafts = run.drafts(domain, problems, ["original", "reflective"])
    started = train_sft(
        store, f"{domain} expert, SFT", base, drafts, recipe.expert_of(domain).sft,
        seed=seed, expected_tokens=2 * train_count(problems) * _SAMPLE_TOKENS,
    )  # fmt: skip
    final = train_grpo(store, f"{domain} expert, GRPO", started, [problems], recipe.expert_of(domain).grpo, seed=seed)
    curated = curate(store, domain, final, problems, recipe.rejection, seed=seed)
    answers = [
        *run.evaluate("expert SFT", started, {domain: problems}, system_prompt=True),
        *run.evaluate("expert SFT", started, {domain: problems}),
        *run.evaluate("expert", final, {domain: problems}),
    ]
    return Expert(drafts, started, final, curated, answers)


def post_train(run: Seed[Recipe]) -> Outcome:
    """Base model in, final checkpoint out, with every expert and every evaluation in between."""
    recipe, seed = run.recipe, run.seed
    out = Outcome(seed)
    begin = run.under("base model and problems")
    base = begin.base()
    problems = {domain: begin.problems(domain) for domain in recipe.names}
    evaluate_all(begin, out, "base", base, problems)

    # People may begin while the experts train.
    drafts = OpenDrafts.invite(run.under("reviewed drafts"), problems)

    # 5.1: one expert a reasoning domain writes that domain's data; what people verified is the data of the others.
    curated = []
    for domain in recipe.reasoning:
        expert = train_expert(run.under(f"{domain} expert"), domain, base, problems[domain])
        curated.append(expert.curated)
        out.answers += expert.answers
        out.drafts[domain] = expert.drafts
        out.curves += [expert.started, expert.final]
        out.data += [expert.drafts, expert.curated]
    reviewed = drafts.reviewed()
    if recipe.baselines:
        control = run.under("controls")
        for domain in recipe.reasoning:
            out.answers += teach_only(control, domain, base, problems[domain])
        out.answers += original_only(control, base, {d: problems[d] for d in recipe.reasoning}, list(reviewed.values()))
    tuning = run.under("fine-tuning")
    sets = [*curated, *reviewed.values()]
    out.data += reviewed.values()
    if recipe.cleaning is not None:
        sets = [clean_sets(tuning.store, "cleaned set", sets, recipe.cleaning)]
        out.data += sets
    dataset = mix(tuning.store, "SFT set", sets, recipe.mixture, seed=seed)
    out.data.append(dataset)

    # 5.1, SFT settings: two epochs over the mixture, from the base.
    sft = train_sft(tuning.store, "SFT", base, dataset, recipe.sft, seed=seed, expected_tokens=_mixture_tokens(recipe))
    evaluate_all(tuning, out, "SFT", sft, problems)

    # 5.2: rules where a rule decides, a reward model where not, and GRPO on both.
    judged = learn_preferences(run.under("reward model and preferences"), out, sft, problems, reviewed)
    out.curves.append(sft)
    out.final = sft
    reinforcing = run.under("reinforcement learning")
    if recipe.grpo is not None and recipe.rewarded:
        rewarded = [problems[domain] for domain in recipe.rewarded]
        out.final = train_grpo(reinforcing.store, "GRPO", sft, rewarded, recipe.grpo, seed=seed, reward_model=judged)
        evaluate_all(reinforcing, out, "GRPO", out.final, problems)
        out.curves.append(out.final)
    score_open(reinforcing, out, judged, problems)
    return out


def teach_only(run: Seed[Recipe], domain: str, base: Artifact, problems: Artifact) -> list[Artifact]:
    """A control: what the teacher's responses alone teach, evaluated with the system prompt that they came with."""
    store, recipe, seed = run.store, run.recipe, run.seed
    reflective = run.drafts(domain, problems, ["reflective"])
    taught = train_sft(
        store, f"{domain}, teacher only", base, reflective, recipe.expert_of(domain).sft,
        seed=seed, expected_tokens=train_count(problems) * _SAMPLE_TOKENS,
    )  # fmt: skip
    return run.evaluate("teacher only", taught, {domain: problems}, system_prompt=True)


def original_only(
    run: Seed[Recipe], base: Artifact, problems: dict[str, Artifact], reviewed: list[Artifact]
) -> list[Artifact]:
    """A control: the final SFT with original responses where the experts' own would be."""
    store, recipe, seed = run.store, run.recipe, run.seed
    originals = [run.drafts(domain, problems[domain], ["original"]) for domain in problems]
    plain = mix(store, "SFT set of original responses", [*originals, *reviewed], recipe.mixture, seed=seed)
    tuned = train_sft(
        store, "SFT, original only", base, plain, recipe.sft, seed=seed, expected_tokens=_mixture_tokens(recipe)
    )
    return run.evaluate("original only", tuned, problems)


def reinforce(run: Seed[RlRecipe]) -> Outcome:
    """One model, GRPO in each variant, evaluated before and after."""
    out = Outcome(run.seed)
    begin = run.under("model and problems")
    base, problems = begin.base(), {name: begin.problems(name) for name in run.recipe.names}
    out.answers += begin.evaluate("base", base, problems)
    if run.recipe.sft is not None:
        out.answers += begin.evaluate("SFT", started(begin, problems), problems)
    for name in run.recipe.runs():
        variant = run.under(name)
        out.final, examinations = reinforce_one(variant, name)
        out.examinations += [made for made in examinations if made not in out.examinations]
        out.answers += variant.evaluate(name, out.final, problems)
        out.curves.append(out.final)
    return out


def reinforce_one(run: Seed[RlRecipe], name: str) -> tuple[Artifact, list[Artifact]]:
    """The model that one of the variants makes, and the examinations that its reward model has passed."""
    store, recipe, seed = run.store, run.recipe, run.seed
    problems = {name: run.problems(name) for name in recipe.names}
    model = started(run, problems)
    reward, asked, examinations = None, None, []
    kind = recipe.reward_of(name)
    for domain in recipe.open_domains:
        assert kind is not None
        reward, asked = reward_model(run, kind, model, problems[domain])
        examinations += check_reward_model(run, reward, asked, model, problems[domain])
    final = train_grpo(
        store, name, model, list(problems.values()), recipe.runs()[name],
        seed=seed, reward_model=reward if reward is None or asked is None else (reward, asked),
    )  # fmt: skip
    return final, examinations


def reward_model(
    run: Seed[RlRecipe], kind: Literal["scalar", "judge"], sft: Artifact, problems: Artifact
) -> tuple[Artifact, JudgeConfig | None]:
    """One of the recipe's reward models, and how it is asked if it is a judge; both learn from the same pairs."""
    if kind == "judge":
        assert run.recipe.judge is not None
        return build_judge(run, sft, problems), run.recipe.judge.asked
    assert run.recipe.reward_model is not None
    pairs = draft_pairs(run, sft, problems, "train")
    trained = train_reward_model(run.store, "reward model", sft, pairs, run.recipe.reward_model, seed=run.seed)
    return trained, None


def started(run: Seed[RlRecipe], problems: dict[str, Artifact]) -> Artifact:
    """The model before RL: the base, or fine-tuned as an expert is."""
    store, recipe, seed = run.store, run.recipe, run.seed
    if recipe.sft is None:
        return run.base()
    drafts = [
        review_open(store, domain)
        if domain in recipe.open_domains
        else run.drafts(domain, problems[domain], ["original", "reflective"])
        for domain in problems
    ]
    longest = 10**9
    most = sum(len(reviewed_rows(d)) if d in recipe.open_domains else 2 * recipe.domains[d].train for d in problems)
    mixed = mix(store, "drafts", drafts, Mixture(most_per_domain=most, longest=longest), seed=seed)
    return train_sft(store, "SFT", run.base(), mixed, recipe.sft, seed=seed, expected_tokens=most * _SAMPLE_TOKENS)


def _mixture_tokens(recipe: Recipe) -> int:
    """What a plan expects of an SFT set: every problem solved, every draft accepted, and no domain above its cap."""
    asked = {domain: recipe.of(domain) for domain in recipe.reasoning}
    rows = [recipe.rejection.keep * (most_train(a) if isinstance(a, Source) else a.train) for a in asked.values()]
    rows += [most_train(table.source) for table in recipe.open.values()]
    rows += [len(reviewed_rows(domain)) for domain in recipe.open_domains if domain not in recipe.open]
    return sum(min(n, recipe.mixture.most_per_domain or n) for n in rows) * _SAMPLE_TOKENS


def comparisons(recipe: Recipe | RlRecipe) -> Iterator[Pair]:
    """The paired questions of the report, on sampled answers if there are any: per reasoning domain, and over all.

    A single domain is all there is.
    """
    decoding = "sampled" if recipe.evaluation.samples else "greedy"
    if isinstance(recipe, RlRecipe):
        start = "base" if recipe.sft is None else "SFT"
        ruled = [name for name in recipe.names if name not in recipe.open_domains]
        for name in recipe.runs():
            for domain in _and_all(ruled):
                yield Pair(start, name, domain, decoding, False, False)
        return
    pairs = [("expert SFT", "expert", False), ("base", "SFT", False)]
    if recipe.grpo is not None:
        pairs += [("SFT", "GRPO", False), ("base", "GRPO", False)]
    if recipe.dpo:
        pairs.append(("SFT", "DPO", False))
    if recipe.kto:
        pairs.append(("SFT", "KTO", False))
    if recipe.baselines:
        pairs += [("teacher only", "expert", True), ("original only", "SFT", False)]
    for a, b, system_prompt in pairs:
        for domain in _and_all(recipe.reasoning):
            yield Pair(a, b, domain, decoding, system_prompt, False)


def _and_all(domains: Sequence[str]) -> list[str | None]:
    return [*domains, None] if len(domains) > 1 else [None] * len(domains)


def run_base(store: Store, recipe: BaseRecipe) -> Artifact:
    """Pre-train the base model, and a short pair with and without balancing for the model card."""
    corpus = make_corpus(store, recipe.corpus)
    context = recipe.architecture.max_position_embeddings
    tokenizer = make_tokenizer(store, corpus, recipe.tokenizer, context=context)
    first = pretrain(store, "first phase", corpus, tokenizer, recipe.architecture, recipe.pretraining)
    base = midtrain(store, "base", first, make_worked_corpus(store, recipe.worked), recipe.midtraining)
    short = recipe.pretraining.model_copy(update={"steps": recipe.control.steps})
    unbalanced = short.model_copy(update={"balance_speed": 0.0, "balance_loss": 0.0})
    controls = [
        pretrain(store, f"control, {name}", corpus, tokenizer, recipe.architecture, settings)
        for name, settings in (("balanced", short), ("unbalanced", unbalanced))
    ]
    return measure_base(store, base, controls, corpus)
