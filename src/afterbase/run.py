"""The whole recipe as one program: sections 5.1 to 5.3 of the DeepSeek-V3 report, top to bottom.

Stages are functions from artifacts to one artifact; nothing here reads what is in them, so the same program, run on a
store that only plans, draws the graph.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from afterbase.core.store import Artifact, Store
from afterbase.data.base import import_base
from afterbase.data.corpus import make_corpus, make_worked_corpus
from afterbase.data.curate import curate
from afterbase.data.draft import draft
from afterbase.data.mix import mix
from afterbase.data.open import review_open, reviewed_rows
from afterbase.data.preferences import make_preferences
from afterbase.data.problems import make_problems
from afterbase.eval.base_model import measure_base
from afterbase.eval.capability import evaluate
from afterbase.eval.summarise import Pair
from afterbase.model.load import find
from afterbase.recipe import BaseRecipe, Recipe
from afterbase.train.grpo import train_grpo
from afterbase.train.pretrain import make_tokenizer, midtrain, pretrain
from afterbase.train.reward_model import train_reward_model
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


def train_expert(store: Store, recipe: Recipe, seed: int, domain: str, base: Artifact, problems: Artifact) -> Expert:
    """5.1, reasoning: SFT on both sample kinds, GRPO without the system prompt, rejection sampling."""
    drafts = draft(store, domain, problems, ["original", "reflective"], seed=seed)
    started = train_sft(
        store, f"{domain} expert, SFT", base, drafts, recipe.expert.sft,
        seed=seed, expected_tokens=2 * recipe.domains[domain].train * _SAMPLE_TOKENS,
    )  # fmt: skip
    final = train_grpo(store, f"{domain} expert, GRPO", started, [problems], recipe.expert.grpo, seed=seed)
    curated = curate(store, domain, final, problems, recipe.rejection, seed=seed)
    return Expert(drafts, started, final, curated)


def post_train(store: Store, recipe: Recipe, seed: int) -> Outcome:
    """Base model in, final checkpoint out, with every expert and every evaluation on the way."""
    out = Outcome(seed)
    base = import_base(store, find(recipe.base))
    problems = {domain: make_problems(store, domain, recipe.domains[domain], seed=seed) for domain in recipe.domains}

    def examine(checkpoint: str, model: Artifact, domains: list[str], *, system_prompt: bool = False) -> None:
        for domain in domains:
            artifact = evaluate(
                store, checkpoint, model, domain, problems[domain], recipe.evaluation,
                seed=seed, system_prompt=system_prompt,
            )  # fmt: skip
            out.answers.append(artifact)

    examine("base", base, list(recipe.domains))

    # 5.1: one expert a reasoning domain writes that domain's data; what people verified is the data of the others.
    curated = []
    for domain in recipe.reasoning:
        expert = train_expert(store, recipe, seed, domain, base, problems[domain])
        curated.append(expert.curated)
        examine("expert SFT", expert.started, [domain], system_prompt=True)
        examine("expert SFT", expert.started, [domain])
        examine("expert", expert.final, [domain])
        out.drafts[domain] = expert.drafts
        out.curves += [expert.started, expert.final]
        out.data += [expert.drafts, expert.curated]
    reviewed = {domain: review_open(store, domain) for domain in recipe.open}
    if recipe.baselines:
        _baselines(store, recipe, seed, base, problems, list(reviewed.values()), examine)
    dataset = mix(store, "SFT set", [*curated, *reviewed.values()], recipe.mixture, seed=seed)
    out.data += [*reviewed.values(), dataset]

    # 5.1, SFT settings: two epochs over the mixture, from the base.
    sft = train_sft(store, "SFT", base, dataset, recipe.sft, seed=seed, expected_tokens=_mixture_tokens(recipe))
    examine("SFT", sft, list(recipe.domains))

    # 5.2: rules where a rule decides, a reward model where not, and GRPO on both.
    for domain in recipe.open:
        pairs = make_preferences(store, sft, problems[domain], reviewed[domain], recipe.preferences, seed=seed)
        out.reward_model = train_reward_model(store, "reward model", sft, pairs, recipe.reward_model, seed=seed)
        out.curves.append(out.reward_model)
    final = train_grpo(
        store, "GRPO", sft, list(problems.values()), recipe.grpo, seed=seed, reward_model=out.reward_model
    )
    examine("GRPO", final, list(recipe.domains))
    out.curves += [sft, final]
    out.final = final
    return out


def _baselines(
    store: Store,
    recipe: Recipe,
    seed: int,
    base: Artifact,
    problems: dict[str, Artifact],
    reviewed: list[Artifact],
    examine: Callable[..., None],
) -> None:
    """The two controls: what the teacher alone teaches, and what the original responses alone teach."""
    originals = []
    for domain in recipe.reasoning:
        reflective = draft(store, domain, problems[domain], ["reflective"], seed=seed)
        teacher_only = train_sft(
            store, f"{domain}, teacher only", base, reflective, recipe.expert.sft,
            seed=seed, expected_tokens=recipe.domains[domain].train * _SAMPLE_TOKENS,
        )  # fmt: skip
        examine("teacher only", teacher_only, [domain], system_prompt=True)
        originals.append(draft(store, domain, problems[domain], ["original"], seed=seed))
    plain = mix(store, "SFT set of original responses", [*originals, *reviewed], recipe.mixture, seed=seed)
    original_only = train_sft(
        store, "SFT, original only", base, plain, recipe.sft, seed=seed, expected_tokens=_mixture_tokens(recipe)
    )
    examine("original only", original_only, recipe.reasoning)


def _mixture_tokens(recipe: Recipe) -> int:
    """What a plan expects of an SFT set: every problem solved, every draft accepted, and no domain above its cap."""
    rows = [recipe.rejection.keep * recipe.domains[domain].train for domain in recipe.reasoning]
    rows += [len(reviewed_rows(domain)) for domain in recipe.open]
    return sum(min(n, recipe.mixture.most_per_domain) for n in rows) * _SAMPLE_TOKENS


def comparisons(recipe: Recipe) -> Iterator[Pair]:
    """The paired questions of the report, on sampled answers if there are any: per reasoning domain, and over all."""
    decoding = "sampled" if recipe.evaluation.samples else "greedy"
    pairs = [("expert SFT", "expert", False), ("base", "SFT", False), ("SFT", "GRPO", False), ("base", "GRPO", False)]
    if recipe.baselines:
        pairs += [("teacher only", "expert", True), ("original only", "SFT", False)]
    for a, b, system_prompt in pairs:
        for domain in [*recipe.reasoning, None]:
            yield Pair(a, b, domain, decoding, system_prompt, False)


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
