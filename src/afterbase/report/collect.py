"""From a run's artifacts to its summary: everything the table, the page and `show --json` say."""

import contextlib
import datetime
import json
import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from afterbase.core.errors import UserError
from afterbase.core.sample import read_samples
from afterbase.core.store import Artifact, StageRecord, Store
from afterbase.core.tokens import Tokenized
from afterbase.data.domains import OPEN
from afterbase.data.sample_tokens import sample_rows
from afterbase.eval.held_out import read_answers
from afterbase.eval.score_answers import without_suffix
from afterbase.eval.summarise import Pair, Row, compare, summarise
from afterbase.model.folders import tokenizer_of
from afterbase.model.load import load
from afterbase.model.size import parameter_count
from afterbase.report.curves import TRAINED, curves_of, shared_curves
from afterbase.report.examples import examples, rollouts, turned
from afterbase.report.measures import measures
from afterbase.report.summary import Flow, Machine, ModelFacts, Span, Stage, Summary, TrainingSample
from afterbase.verify.check import NO_RULE


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a run made: the evaluations of each seed, whose problems are pooled; else of the first seed.

    `compared` holds stages of one kind whose curves share their charts, each the mean of its seeds. `model_folder` is
    where the final model was handed over. `unfinished` is why the run stopped early, where it did.
    Answers in `open_domains` are in no comparison.
    """

    answers: Mapping[int, Sequence[Artifact]]
    curves: Sequence[Artifact]
    data: Sequence[Artifact]
    final: Artifact
    compared: Mapping[str, Sequence[Artifact]] = field(default_factory=dict)
    model_folder: str | None = None
    unfinished: str | None = None
    open_domains: Sequence[str] = OPEN


def made_so_far(store: Store, *, seed: int, unfinished: str) -> Made:
    """What a run that stopped early has made of its first seed; its last model stands for the final one."""
    of_seed = [r.artifact for r in store.stages if r.artifact.manifest["what"].get("seed", seed) == seed]
    made = list({artifact.key: artifact for artifact in of_seed}.values())  # variants share stages
    models = [artifact for artifact in made if artifact.manifest["stage"] in ("base", *TRAINED)]
    return Made(
        answers={seed: [artifact for artifact in made if artifact.manifest["stage"] == "evaluate"]},
        curves=[artifact for artifact in models if artifact.manifest["stage"] in TRAINED],
        data=[artifact for artifact in made if (artifact.payload / "samples.parquet").is_file()],
        final=models[-1],
        unfinished=unfinished,
    )


def collect(
    made: Made, *, name: str, recipe_text: str, store: Store, pairs: Sequence[Pair], notes: Sequence[str]
) -> Summary:
    """The summary of a run."""
    answers, final = made.answers, made.final
    rows = [row for seed, artifacts in answers.items() for a in artifacts for row in _rows(a, seed)]
    first_seed = [row for a in next(iter(answers.values())) for row in read_answers(a)]
    return Summary(
        run=name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        recipe_toml=recipe_text,
        machine=_machine(),
        seconds_total=sum({record.artifact.key: record.seconds for record in store.stages}.values()),
        stages=[_stage(record) for record in store.stages],
        evaluations=summarise(rows),
        comparisons=compare([row for row in rows if without_suffix(row["domain"]) not in made.open_domains], pairs),
        curves=[*shared_curves(made.compared), *(curve for artifact in made.curves for curve in curves_of(artifact))],
        flow=[flow for artifact in made.data for flow in _flow(artifact)],
        examples=examples(first_seed) if first_seed else rollouts(final),
        turned=turned(first_seed),
        measures=[] if first_seed else measures(final),
        training_samples=_training_samples(made.data, final),
        model=_model_facts(final, base=next(r.artifact for r in store.stages if r.stage == "base")),
        notes=list(notes),
        model_folder=made.model_folder,
        unfinished=made.unfinished,
    )


def teacher_tokens(drafts: Artifact, final: Artifact) -> tuple[float, float]:
    """Mean tokens, stop token included, of the reflective and of the original responses."""
    tokenizer = tokenizer_of(final.payload)
    means = []
    for kind in ("reflective", "original"):
        samples = [s for s in read_samples(drafts.payload / "samples.parquet") if s.kind == kind]
        means.append(sum(len(tokenizer(s.response)["input_ids"]) + 1 for s in samples) / len(samples))
    return means[0], means[1]


def _rows(artifact: Artifact, seed: int) -> list[Row]:
    """The judged answers; those that nothing judges have no numbers, and are shown alone."""
    return [
        cast(Row, {key: row[key] for key in Row.__annotations__} | {"problem_id": f"{seed}/{row['problem_id']}"})
        for row in read_answers(artifact)
        if row["reason"] != NO_RULE
    ]


def _machine() -> Machine:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "torch": version("torch"),
        "transformers": version("transformers"),
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit of afterbase itself: `unknown` without git, and where it is installed inside somebody's repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    tracked = shutil.which("git") is not None and git("ls-files", Path(__file__).name)
    return git("rev-parse", "--short", "HEAD") if tracked else "unknown"


def _stage(record: StageRecord) -> Stage:
    return Stage(
        name=record.name,
        stage=record.stage,
        key=record.artifact.key,
        digest=record.artifact.digest,
        cached=record.cached,
        seconds=round(record.seconds, 2),
        inputs=[a.name for a in record.inputs],
    )


_DROPS_OF = {"clean": ("filter", "decontaminate", "dedup", "mixture")}  # other stages drop under their own name


def _flow(artifact: Artifact) -> list[Flow]:
    samples = read_samples(artifact.payload / "samples.parquet")
    stage = artifact.manifest["stage"]
    here = [s for s in samples if s.dropped is None or s.dropped.stage in _DROPS_OF.get(stage, (stage,))]
    flows = []
    for domain in dict.fromkeys(s.domain for s in here):
        own = [s for s in here if s.domain == domain]
        dropped = Counter(s.dropped.rule for s in own if s.dropped is not None)
        flows.append(
            Flow(
                stage=artifact.name,
                domain=domain,
                made=len(own),
                kept=sum(s.dropped is None for s in own),
                dropped=dict(dropped.most_common()),
            )
        )
    return flows


def _training_samples(data: Sequence[Artifact], final: Artifact) -> list[TrainingSample]:
    """One kept sample of each domain and kind, cut where the loss mask changes; of those that the template takes."""
    if not data:
        return []
    tokenizer = tokenizer_of(final.payload)
    shown: dict[tuple[str, str], TrainingSample] = {}
    for artifact in data:
        for sample in read_samples(artifact.payload / "samples.parquet"):
            if sample.dropped is None and (sample.domain, sample.kind) not in shown:
                with contextlib.suppress(UserError):  # which training left out as well
                    tokens = sample_rows(tokenizer, sample)[-1]
                    spans = _spans(tokenizer, tokens)
                    shown[sample.domain, sample.kind] = TrainingSample(
                        domain=sample.domain, kind=sample.kind, spans=spans
                    )
    return list(shown.values())


def _spans(tokenizer: Any, tokens: Tokenized) -> list[Span]:
    spans: list[Span] = []
    start = 0
    for i in range(1, len(tokens.ids) + 1):
        if i == len(tokens.ids) or tokens.trained[i] != tokens.trained[start]:
            text = cast(str, tokenizer.decode(tokens.ids[start:i]))
            spans.append(Span(text=text, trained=tokens.trained[start]))
            start = i
    return spans


def _model_facts(final: Artifact, *, base: Artifact) -> ModelFacts:
    """Parameters of the final model, and what the shipped base's card recorded of its balance and its draft module."""
    if final.manifest["stage"] == "reward_model":  # no language model: its head is one of scores
        parameters = parameter_count(final.payload)
    else:
        parameters = sum(p.numel() for p in load(final.payload).modules().parameters())
    card = base.payload / "facts.json"
    if not card.is_file():
        return ModelFacts(parameters=parameters, expert_load=[], mtp_acceptance=None)
    facts = json.loads(card.read_text())
    return ModelFacts(
        parameters=parameters,
        expert_load=[
            {"layer": layer, "balanced_max_over_mean": b, "unbalanced_max_over_mean": u}
            for layer, (b, u) in enumerate(
                zip(
                    facts["control, balanced"]["busiest_expert_over_mean"],
                    facts["control, unbalanced"]["busiest_expert_over_mean"],
                    strict=True,
                ),
                start=1,
            )
        ],
        mtp_acceptance=facts["base"]["mtp_acceptance_greedy"],
    )
