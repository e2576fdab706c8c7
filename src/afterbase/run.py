"""The whole recipe as one program: sections 5.1 to 5.3 of the DeepSeek-V3 report, top to bottom.

Stages are functions from artifacts to one artifact; nothing here reads what is in them, so the same program, run on a
store that only plans, draws the graph.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from afterbase.core.store import Artifact, Store
from afterbase.data.base_model import import_base
from afterbase.data.clean.deliver import clean_sets
from afterbase.data.corpus import make_corpus, make_worked_corpus
from afterbase.data.generate.draft import draft
from afterbase.data.generate.draft_pairs import Split, make_draft_pairs
from afterbase.data.generate.judgements import make_judgements
from afterbase.data.generate.open_domains import review_open, reviewed_rows
from afterbase.data.generate.preferences import make_preferences
from afterbase.data.generate.rejection_sampling import curate
from afterbase.data.generate.teacher import Kind
from afterbase.data.mixture import Mixture, mix
from afterbase.data.problems.problems import make_problems, train_count
from afterbase.data.problems.puzzle_families import make_family
from afterbase.data.problems.source_rows import Source
from afterbase.data.problems.sources import make_source, most_train
from afterbase.data.review.review_stage import invite, open_drafts, review_by_people
from afterbase.data.system_prompts import system_prompt as teacher_prompt
from afterbase.eval.base_model_card import measure_base
from afterbase.eval.held_out import evaluate
from afterbase.eval.reward_model_exam import examine_reward
from afterbase.eval.summarise import Pair
from afterbase.model.folders import find
from afterbase.recipe import BaseRecipe, Recipe, RlRecipe
from afterbase.reward.build_judge import JudgeConfig, make_judge
from afterbase.train.grpo.stage import train_grpo
from afterbase.train.preference.dpo import train_dpo
from afterbase.train.preference.generative_reward_model import train_generative_reward_model
from afterbase.train.preference.kto import train_kto
from afterbase.train.preference.preference_pairs import make_reference_logps
from afterbase.train.preference.reward_model import train_reward_model
from afterbase.train.pretrain import make_tokenizer, midtrain, pretrain
from afterbase.train.sft import train_sft

_SAMPLE_TOKENS = 150  # of a prompt and its answer, for plans


@dataclass
class Outcome:
    """What one seed of the recipe made: its answers in the order of the recipe, and the artifacts the report reads."""

    seed: int
    answers: list[Artifact] = field(default_factory=list)
    curves: list[Artifact] = field(default_factory=list)
    data: list[Artifact] = field(default_factory=list)
    drafts: dict[str, Artifact] = field(default_factory=dict)
    reward_model: Artifact | None = None
    examinations: list[Artifact] = field(default_factory=list)
    final: Artifact | None = None

    def final_model(self) -> Artifact:
        """The last checkpoint, which every finished seed has."""
        assert self.final is not None
        return self.final


@dataclass(frozen=True)
class Expert:
    """The expert of one reasoning domain: what it was drafted from, its two checkpoints, and the data that it wrote."""

    drafts: Artifact
    started: Artifact
    final: Artifact
    curated: Artifact
    answers: list[Artifact]


R = TypeVar("R", bound=Recipe | RlRecipe)


@dataclass(frozen=True)
class Seed(Generic[R]):
    """One seed of a recipe, and where its artifacts lie."""

    store: Store
    recipe: R
    seed: int

    def base(self) -> Artifact:
        recipe = self.recipe
        return import_base(
            self.store, find(recipe.base), chat_template=recipe.chat_template, template_args=recipe.template_args
        )

    def problems(self, domain: str) -> Artifact:
        if domain in self.recipe.families:
            return make_family(self.store, domain, self.recipe.families[domain], seed=self.seed)
        if domain in self.recipe.sources:
            return make_source(self.store, domain, self.recipe.sources[domain], seed=self.seed)
        return make_problems(self.store, domain, self.recipe.domains[domain], seed=self.seed)

    def drafts(self, domain: str, problems: Artifact, kinds: Sequence[Kind]) -> Artifact:
        """By the recipe's teacher, if it has one of its own."""
        teacher = self.recipe.teacher if isinstance(self.recipe, Recipe) else None
        return draft(self.store, domain, problems, kinds, seed=self.seed, teacher=teacher, account=self.recipe.name)

    def evaluate(
        self, checkpoint: str, model: Artifact, problems: dict[str, Artifact], *, system_prompt: bool = False
    ) -> list[Artifact]:
        """The checkpoint's answers to held-out problems of each domain."""
        teacher = self.recipe.teacher if isinstance(self.recipe, Recipe) else None
        system = system_prompt and (teacher is None or teacher_prompt(teacher.system) or True)
        return [
            evaluate(
                self.store, checkpoint, model, domain, held_out, self.recipe.evaluation, seed=self.seed, system=system
            )
            for domain, held_out in problems.items()
        ]


def train_expert(run: Seed[Recipe], domain: str, base: Artifact, problems: Artifact) -> Expert:
    """5.1, reasoning: SFT on both sample kinds, GRPO without the system prompt, rejection sampling."""
    store, recipe, seed = run.store, run.recipe, run.seed
    drafts = run.drafts(domain, problems, ["original", "reflective"])
    started = train_sft(
        store, f"{domain} expert, SFT", base, drafts, recipe.expert.sft,
        seed=seed, expected_tokens=2 * train_count(problems) * _SAMPLE_TOKENS,
    )  # fmt: skip
    final = train_grpo(store, f"{domain} expert, GRPO", started, [problems], recipe.expert.grpo, seed=seed)
    curated = curate(store, domain, final, problems, recipe.rejection, seed=seed)
    answers = [
        *run.evaluate("expert SFT", started, {domain: problems}, system_prompt=True),
        *run.evaluate("expert SFT", started, {domain: problems}),
        *run.evaluate("expert", final, {domain: problems}),
    ]
    return Expert(drafts, started, final, curated, answers)


def post_train(run: Seed[Recipe]) -> Outcome:
    """Base model in, final checkpoint out, with every expert and every evaluation in between."""
    store, recipe, seed = run.store, run.recipe, run.seed
    out = Outcome(seed)
    base = run.base()
    problems = {domain: run.problems(domain) for domain in recipe.names}
    out.answers += run.evaluate("base", base, problems)

    # People may begin while the experts train.
    drafts = {domain: open_drafts(store, domain) for domain in recipe.review}
    for domain, policy in recipe.review.items():
        invite(store, domain, drafts[domain], policy, run=recipe.name)

    # 5.1: one expert a reasoning domain writes that domain's data; what people verified is the data of the others.
    curated = []
    for domain in recipe.reasoning:
        expert = train_expert(run, domain, base, problems[domain])
        curated.append(expert.curated)
        out.answers += expert.answers
        out.drafts[domain] = expert.drafts
        out.curves += [expert.started, expert.final]
        out.data += [expert.drafts, expert.curated]
    reviewed = {
        domain: review_by_people(store, domain, drafts[domain], recipe.review[domain], run=recipe.name)
        if domain in recipe.review
        else review_open(store, domain)
        for domain in recipe.open
    }
    if recipe.baselines:
        for domain in recipe.reasoning:
            out.answers += teach_only(run, domain, base, problems[domain])
        out.answers += original_only(run, base, {d: problems[d] for d in recipe.reasoning}, list(reviewed.values()))
    sets = [*curated, *reviewed.values()]
    out.data += reviewed.values()
    if recipe.cleaning is not None:
        sets = [clean_sets(store, "cleaned set", sets, recipe.cleaning)]
        out.data += sets
    dataset = mix(store, "SFT set", sets, recipe.mixture, seed=seed)
    out.data.append(dataset)

    # 5.1, SFT settings: two epochs over the mixture, from the base.
    sft = train_sft(store, "SFT", base, dataset, recipe.sft, seed=seed, expected_tokens=_mixture_tokens(recipe))
    out.answers += run.evaluate("SFT", sft, problems)

    # 5.2: rules where a rule decides, a reward model where not, and GRPO on both.
    reward, asked = None, None
    for domain in recipe.open:
        reward, asked = learn_preferences(run, out, sft, problems, reviewed[domain], domain)
    judged = reward if reward is None or asked is None else (reward, asked)
    final = train_grpo(store, "GRPO", sft, list(problems.values()), recipe.grpo, seed=seed, reward_model=judged)
    out.answers += run.evaluate("GRPO", final, problems)
    out.curves += [sft, final]
    out.final = final
    return out


def learn_preferences(
    run: Seed[Recipe], out: Outcome, sft: Artifact, problems: dict[str, Artifact], reviewed: Artifact, domain: str
) -> tuple[Artifact, JudgeConfig | None]:
    """5.2: the reward model of an open domain, checked, and how it is asked if it is a judge; DPO and KTO beside it."""
    store, recipe, seed = run.store, run.recipe, run.seed
    reward, asked = None, None
    if recipe.reward_model is not None or recipe.dpo is not None or recipe.kto is not None:
        pairs = make_preferences(store, sft, problems[domain], reviewed, recipe.preferences, seed=seed)
        if recipe.reward_model is not None:
            reward = train_reward_model(store, "reward model", sft, pairs, recipe.reward_model, seed=seed)
            out.reward_model = reward
            out.curves.append(reward)
        for checkpoint, model in _on_preferences(run, sft, pairs):
            out.answers += run.evaluate(checkpoint, model, problems)
            out.curves.append(model)
    if recipe.judge is not None:
        reward, asked = build_judge(run, sft, problems[domain]), recipe.judge.asked
    assert reward is not None, "open domains have a reward model or a judge"
    out.examinations += check_reward_model(run, reward, asked, sft, problems[domain])
    return reward, asked


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


def teach_only(run: Seed[Recipe], domain: str, base: Artifact, problems: Artifact) -> list[Artifact]:
    """A control: what the teacher's responses alone teach, evaluated with the system prompt that they came with."""
    store, recipe, seed = run.store, run.recipe, run.seed
    reflective = run.drafts(domain, problems, ["reflective"])
    taught = train_sft(
        store, f"{domain}, teacher only", base, reflective, recipe.expert.sft,
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
    base, problems = run.base(), {name: run.problems(name) for name in run.recipe.names}
    out.answers += run.evaluate("base", base, problems)
    if run.recipe.sft is not None:
        out.answers += run.evaluate("SFT", started(run, problems), problems)
    for name in run.recipe.runs():
        out.final, examinations = reinforce_one(run, name)
        out.examinations += [made for made in examinations if made not in out.examinations]
        out.answers += run.evaluate(name, out.final, problems)
        out.curves.append(out.final)
    return out


def reinforce_one(run: Seed[RlRecipe], name: str) -> tuple[Artifact, list[Artifact]]:
    """The model that one of the variants makes, and the examinations that its reward model has passed."""
    store, recipe, seed = run.store, run.recipe, run.seed
    problems = {name: run.problems(name) for name in recipe.names}
    model = started(run, problems)
    reward, asked, examinations = None, None, []
    kind = recipe.reward_of(name)
    for domain in recipe.open:
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
        if domain in recipe.open
        else run.drafts(domain, problems[domain], ["original", "reflective"])
        for domain in problems
    ]
    longest = 10**9
    most = sum(len(reviewed_rows(d)) if d in recipe.open else 2 * recipe.domains[d].train for d in problems)
    mixed = mix(store, "drafts", drafts, Mixture(most_per_domain=most, longest=longest), seed=seed)
    return train_sft(store, "SFT", run.base(), mixed, recipe.sft, seed=seed, expected_tokens=most * _SAMPLE_TOKENS)


def _mixture_tokens(recipe: Recipe) -> int:
    """What a plan expects of an SFT set: every problem solved, every draft accepted, and no domain above its cap."""
    asked = {domain: recipe.of(domain) for domain in recipe.reasoning}
    rows = [recipe.rejection.keep * (most_train(a) if isinstance(a, Source) else a.train) for a in asked.values()]
    rows += [len(reviewed_rows(domain)) for domain in recipe.open]
    return sum(min(n, recipe.mixture.most_per_domain or n) for n in rows) * _SAMPLE_TOKENS


def comparisons(recipe: Recipe | RlRecipe) -> Iterator[Pair]:
    """The paired questions of the report, on sampled answers if there are any: per reasoning domain, and over all.

    A single domain is all there is.
    """
    decoding = "sampled" if recipe.evaluation.samples else "greedy"
    if isinstance(recipe, RlRecipe):
        start = "base" if recipe.sft is None else "SFT"
        ruled = [name for name in recipe.names if name not in recipe.open]
        for name in recipe.runs():
            for domain in _and_all(ruled):
                yield Pair(start, name, domain, decoding, False, False)
        return
    pairs = [("expert SFT", "expert", False), ("base", "SFT", False), ("SFT", "GRPO", False), ("base", "GRPO", False)]
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
