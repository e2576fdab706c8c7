"""Both kinds of SFT samples for an expert (V3 report section 5.1).

For each problem one <problem, original response> and one <system prompt, problem, R1 response>. R1's part is played by
a procedural teacher behind the interface of any other producer of answers.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from afterbase.core.sample import Problem, Sample, Status, conversation, write_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.domains import DOMAINS
from afterbase.data.problems import train_problems
from afterbase.rollout.producer import Response
from afterbase.verify.check import check_many

VERSION = 2
Kind = Literal["original", "reflective"]


@dataclass(frozen=True)
class ProceduralTeacher:
    """Writes a domain's original or reflective responses by rule; tokens are counted as words, having no tokenizer."""

    kind: Kind

    def describe(self) -> dict[str, Any]:
        return {"name": f"procedural teacher, {self.kind}"}

    def respond(
        self,
        problems: Sequence[Problem],
        *,
        system: str | None,
        samples: int,
        seed: int,
        on_finished: Callable[[], None] | None = None,
    ) -> list[list[Response]]:
        groups = []
        for problem in problems:
            domain = DOMAINS[problem.domain]
            write = domain.original_response if self.kind == "original" else domain.teacher_response
            group = []
            for index in range(samples):
                text = write(problem, random.Random(f"{seed}/{problem.id}/{self.kind}/{index}"))
                group.append(Response(text=text, tokens=len(text.split()), truncated=False))
                if on_finished is not None:
                    on_finished()
            groups.append(group)
        return groups


def draft(store: Store, domain: str, problems: Artifact, kinds: Sequence[Kind], *, seed: int) -> Artifact:
    """samples.parquet: one sample a problem and kind, each verified; wrong ones are kept as dropped rows."""

    def make(work: Workspace) -> None:
        samples = [s for kind in kinds for s in drafts(domain, train_problems(problems), kind, seed=seed)]
        work.log(1, 1, drafts=len(samples), kept=sum(s.dropped is None for s in samples))
        write_samples(work.payload / "samples.parquet", samples)

    settings = {"domain": domain, "kinds": list(kinds), "seed": seed}
    name = f"{domain} drafts" if len(kinds) > 1 else f"{domain} {kinds[0]} drafts"
    return store.produce(name, "draft", VERSION, what=settings, inputs={"problems": problems}, make=make)


def drafts(domain: str, problems: Sequence[Problem], kind: Kind, *, seed: int) -> list[Sample]:
    """One sample a problem; the reflective kind carries the domain's system prompt; what is not right is dropped."""
    teacher = ProceduralTeacher(kind)
    system = DOMAINS[domain].REFLECTIVE_SYSTEM_PROMPT if kind == "reflective" else None
    texts = [group[0].text for group in teacher.respond(problems, system=system, samples=1, seed=seed)]
    verdicts = check_many(list(zip(problems, texts, strict=True)))
    samples = []
    for problem, text, verdict in zip(problems, texts, verdicts, strict=True):
        sample = Sample(
            messages=conversation(problem.prompt, text, system=system),
            domain=domain,
            kind=kind,
            problem_id=problem.id,
            producer=teacher.describe(),
            verdicts=[verdict],
        )
        if verdict.status is not Status.OK:
            sample = sample.drop("draft", f"{verdict.status}: {verdict.reason}", verdict.value)
        samples.append(sample)
    return samples
