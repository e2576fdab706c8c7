"""A teacher's answers to one's own prompts, as samples to learn from: distillation into another model."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from afterbase.core.errors import UserError
from afterbase.core.reasoning import join, split
from afterbase.core.sample import Problem, Sample, read_problems, write_samples
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.generate.teacher import Teacher
from afterbase.rollout.chat_model import Reply
from afterbase.rollout.problem_replies import replies_to, sampled_requests

VERSION = 1
STAGE = "own_teacher_answers"


def make_answers(
    store: Store,
    name: str,
    prompts: Artifact,
    teacher: Teacher,
    *,
    seed: int,
    account: str = "",
    trained: Literal["all", "last"] = "all",
) -> Artifact:
    """samples.parquet: an answer or several to each prompt of `make_prompts`, as the teacher gives them.

    `trained`: whether earlier answers, which a prompt may hold, bear loss too, or the teacher's alone (`last`).
    Those that failed, were cut off or are empty stay as dropped rows. UserError where more failed than the teacher
    allows (`most_failed`), and where none is left. An endpoint is paid from `account`.

    >>> from afterbase.data.own.own_rows import OwnRows
    >>> from afterbase.data.own.own_sets import make_prompts
    >>> rows = OwnRows.of([{"prompt": f"{n} + 1?"} for n in range(9)], store=store)
    >>> prompts = make_prompts(store, "sums", rows, seed=0)
    >>> teacher = Teacher(model="tiny-v3", max_new_tokens=4)
    >>> make_answers(store, "answers", prompts, teacher, seed=0)  # doctest: +SKIP
    """

    def make(work: Workspace) -> None:
        asked = _prompts(prompts)
        requests = sampled_requests(
            [_turns(prompt) for prompt in asked],
            samples=teacher.samples,
            temperature=teacher.temperature,
            max_new_tokens=teacher.max_new_tokens,
            seed=seed,
        )
        model, finished = teacher.model_asked(store.root / "requests.sqlite", account=account), itertools.count(1)
        groups = replies_to(
            model,
            requests,
            most_failed=teacher.most_failed,
            on_finished=lambda: work.show(next(finished), len(requests)),
        )
        who = teacher.lineage(model)
        samples = [
            _sample(prompt, reply, {**who, "sample_index": index}, name, teacher, trained)
            for prompt, group in zip(asked, groups, strict=True)
            for index, reply in enumerate(group)
        ]
        work.log(1, 1, answers=len(samples), dropped=_dropped(samples))
        write_samples(work.payload / "samples.parquet", samples)

    settings = {"domain": name, "seed": seed, "teacher": teacher.settings()}
    settings |= {"trained": trained} if trained != "all" else {}  # keys of before it was a choice stay
    return store.produce(
        name, STAGE, VERSION, what=settings, inputs={"prompts": prompts}, make=make,
        cost=_cost(prompts, teacher),
    )  # fmt: skip


def _dropped(samples: Sequence[Sample]) -> int:
    """How many are dropped. UserError, with the rules, where they are all."""
    dropped = Counter(sample.dropped.rule for sample in samples if sample.dropped is not None)
    if dropped.total() == len(samples):
        rules = ", ".join(f"{rule} ({count})" for rule, count in dropped.most_common(3))
        raise UserError(
            "a teacher answers at least one prompt",
            got=f"{len(samples)} answers, all dropped: {rules}",
            remedy="raise the teacher's `max_new_tokens`, or take another teacher",
        )
    return dropped.total()


def _prompts(prompts: Artifact) -> list[Problem]:
    """All of them: what is kept for tests is for problems that a rule judges."""
    return [problem for split in ("train", "test") for problem in read_problems(prompts.payload / f"{split}.parquet")]


def _turns(prompt: Problem) -> list[dict[str, str]]:
    return prompt.spec.get("messages") or [{"role": "user", "content": prompt.prompt}]


def _sample(prompt: Problem, reply: Reply, who: dict, name: str, teacher: Teacher, trained: str) -> Sample:
    thought, answer = split(reply.text, reply.reasoning)
    text = join(thought, answer, teacher.reasoning)
    turns = _turns(prompt)
    context = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"] if trained == "last" else []
    sample = Sample(
        messages=[*turns, {"role": "assistant", "content": text}],
        domain=name,
        kind="taught",
        problem_id=prompt.id,
        producer=who,
        extra={"untrained": context} if context else {},
    )
    if reply.failure is not None:
        return sample.drop(STAGE, f"no answer: {reply.failure.reason}")
    if reply.truncated:
        return sample.drop(STAGE, "truncated", reply.tokens)
    return sample if answer and answer.strip() else sample.drop(STAGE, "empty")


def _cost(prompts: Artifact, teacher: Teacher) -> Cost:
    if prompts.planned:
        return Cost()
    answers = len(_prompts(prompts)) * teacher.samples
    tokens = answers * teacher.max_new_tokens
    return Cost(generated=tokens) if teacher.endpoint is None else Cost(requests=answers, answer_tokens=tokens)
