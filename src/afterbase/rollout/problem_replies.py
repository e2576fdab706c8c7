"""Problems as requests, and the replies to them; too many failures end the run."""

from collections import Counter
from collections.abc import Callable, Sequence

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Verdict
from afterbase.rollout.chat_model import ChatModel, ChatRequest, Failure, Reason, Reply
from afterbase.verify.check import check_many

_UNASKED = (Reason.DEADLINE, Reason.ABANDONED, Reason.BUDGET)


def problem_requests(
    problems: Sequence[Problem],
    *,
    system: str | None = None,
    samples: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
) -> list[ChatRequest]:
    """`samples` requests for each problem's prompt, after the system prompt if there is one."""
    head = [{"role": "system", "content": system}] if system is not None else []
    return sampled_requests(
        [[*head, {"role": "user", "content": problem.prompt}] for problem in problems],
        samples=samples,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )


def sampled_requests(
    prompts: Sequence[Sequence[dict[str, str]]], *, samples: int, temperature: float, max_new_tokens: int, seed: int
) -> list[ChatRequest]:
    """`samples` requests for each prompt, one prompt after the other."""
    return [
        ChatRequest(messages=messages, temperature=temperature, max_tokens=max_new_tokens, seed=seed, sample=sample)
        for messages in prompts
        for sample in range(samples)
    ]


def by_prompt(requests: Sequence[ChatRequest], replies: Sequence[Reply]) -> list[list[Reply]]:
    """Replies to `sampled_requests` as [prompt][sample]."""
    groups: list[list[Reply]] = []
    for request, reply in zip(requests, replies, strict=True):
        if request.sample == 0:
            groups.append([])
        groups[-1].append(reply)
    return groups


def judged_replies(problems: Sequence[Problem], groups: Sequence[Sequence[Reply]]) -> list[Verdict]:
    """One verdict for each reply, the replies to each problem together; what was cut off is known to be."""
    replies = [(problem, reply) for problem, group in zip(problems, groups, strict=True) for reply in group]
    return check_many([(problem, reply.text) for problem, reply in replies], [reply.context for _, reply in replies])


def replies_to(
    model: ChatModel,
    requests: Sequence[ChatRequest],
    *,
    most_failed: float = 0.0,
    on_finished: Callable[[], None] | None = None,
) -> list[list[Reply]]:
    """As [prompt][sample]; `on_finished` counts them, and a share of `most_failed` at most may be failures.

    Raises UserError, once all have been asked, where more failed, and where the rest was not asked: what came from an
    endpoint is kept, and the same call goes on from there.
    """
    count = None if on_finished is None else lambda _index, _reply: on_finished()
    replies = model.complete(requests, on_finished=count)
    _refuse_failures([r.failure for r in replies if r.failure is not None], len(replies), most_failed)
    return by_prompt(requests, replies)


def _refuse_failures(failures: Sequence[Failure], asked: int, most_failed: float) -> None:
    unasked = [failure for failure in failures if failure.reason in _UNASKED]
    if not unasked and len(failures) <= most_failed * asked:
        return
    last = (unasked or failures)[-1]
    counts = ", ".join(f"{count} {reason}" for reason, count in failure_counts(failures))
    remedy = "run again: with a request cache only what is missing is asked"
    if last.reason is Reason.BUDGET:
        remedy = "raise `max_cost` and run again: what came is kept, and only what is missing is asked"
    elif last.reason.is_about_request:
        remedy = "correct what is refused, or let a teacher go on without those answers (`most_failed`)"
    raise UserError(
        "every request to a model needs an answer"
        if not most_failed
        else f"a share of {most_failed:g} of the requests to a model may stay without an answer",
        got=f"{len(failures)} of {asked} without one ({counts}); the last: {last.detail}",
        remedy=remedy,
    )


def failure_counts(failures: Sequence[Failure]) -> list[tuple[str, int]]:
    """How many there are of each reason, the most frequent first."""
    return Counter(str(failure.reason) for failure in failures).most_common()
